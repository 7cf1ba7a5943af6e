"""What is said of a run: ratios of its figures, and which targets it missed."""

from __future__ import annotations

import pytest

from tests.benchmarks.etl import report
from tests.benchmarks.etl.measure import Measured

ROWS = (1_000_000, 10_000_000, 30_000_000)


def measured(seconds: float, mib: float = 1000.0, start: float = 0.0) -> Measured:
    return Measured(seconds, start, seconds * 2, mib, {})


MIDDLE = {
    "trireme": measured(50, start=4.0),
    "polars": measured(30, 6000.0),
    "pandas": measured(60, 9000.0),
    "pyspark": measured(200, 5000.0, start=6.0),
}


def test_a_run_that_meets_everything_misses_nothing() -> None:
    found = report.figures(ROWS, {"trireme": measured(6)}, MIDDLE, measured(160, 1100.0))
    assert found["missed"] == []
    assert (found["rows"], found["equal"], found["cluster_seconds"]) == (10_000_000, True, 4.0)
    assert (found["polars_seconds"], found["pandas_seconds"], found["pyspark_seconds"]) == (30, 60, 200)
    assert (found["peak_rss_mib_30m"], found["seconds_30m"], found["pyspark_start_seconds"]) == (1100, 160, 6)
    assert found["growth"] == pytest.approx(50 / 60, abs=1e-3)
    assert found["growth_30m"] == pytest.approx(160 / 150, abs=1e-3)


def test_each_target_that_is_missed_is_named() -> None:
    middle = {**MIDDLE, "trireme": measured(70, 3100.0)}
    found = report.figures(ROWS, {"trireme": measured(6)}, middle, measured(300, 4000.0))
    assert found["missed"] == [target.figure for target in report.TARGETS]


def test_what_was_not_run_is_not_judged() -> None:
    found = report.figures((0, 10_000_000, 0), {}, {"trireme": measured(50), "pandas": measured(60)}, None)
    assert found["missed"] == []
    assert not {"growth", "times_of_polars", "seconds_30m"} & {*found}
    assert [target.figure for target in report.asked(found)] == ["peak_rss_mib"]
