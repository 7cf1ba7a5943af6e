"""What perf_analyzer is given, and what is read from what it writes."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.config import load
from contracts.errors import StackError
from contracts.stack import stack_settings
from loadtest import perf
from tests.conftest import CONFIG, REPOSITORY

# As perf_analyzer 2.51.0 wrote it, most columns left out.
CSV = """Concurrency,Inferences/Second,Client Send,Server Queue,p50 latency,p90 latency,p95 latency,p99 latency
8,321.532,120,2010,23810,30100,33145,40998
"""


def test_latencies_are_read_as_milliseconds(tmp_path):
    (tmp_path / "out.csv").write_text(CSV)
    figures = {"per_second": 321.5, "p50_ms": 23.81, "p95_ms": 33.15, "p99_ms": 41.0}
    assert perf.read_table(tmp_path / "out.csv") == pytest.approx(figures, abs=0.01)


def test_every_user_is_a_request_of_the_public_signature():
    requests = perf.request_data(["a", "b"])["data"]
    assert [request["user_id"]["content"] for request in requests] == [["a"], ["b"]]
    assert all(request["k"] == {"content": [perf.K], "shape": [1]} for request in requests)


def test_without_perf_analyzer_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(perf, "ENVIRONMENT", tmp_path / "nothing")
    events = tmp_path / "smoke/processed/events"
    events.mkdir(parents=True)
    pq.write_table(pa.table({"user_id": ["a", "b", "a"]}), events / "day.parquet")
    settings = stack_settings({"TRIREME_ROOT": str(tmp_path)})
    with pytest.raises(StackError, match="make load sets it up"):
        perf.measure(load(REPOSITORY / CONFIG), settings, [1])
