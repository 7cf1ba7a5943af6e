"""What the running platform says of its answers: to the lake, and on its pages of metrics."""

from __future__ import annotations

import re
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts import live_files
from contracts.impressions import PROBE_REQUEST_ID
from deploy import monitoring, readiness
from deploy.catalogue import read_histories, shuffled_users
from deploy.client import Client
from deploy.site import REPOSITORY, Site, open_site
from tests.conftest import CONFIG

pytestmark = [
    pytest.mark.integration,
    # The first test waits for the whole pipeline.
    pytest.mark.timeout(1200),
]


@pytest.fixture
def site(platform, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TRIREME_ROOT", str(platform[0].root))
    monkeypatch.setenv("TRIREME_PORT_BASE", str(platform[0].port_base))
    return open_site(CONFIG)


def test_an_answer_is_in_the_lake_within_seconds_with_the_features_as_served(site):
    user = shuffled_users(read_histories(site), seed=4)[0]
    with Client(site.ports["public"]) as client:
        answer = client.recommend(user)
    found, end = [], time.monotonic() + 20
    while not found and time.monotonic() < end:
        time.sleep(0.5)
        for file in live_files.live_files(site.zones, live_files.IMPRESSIONS):
            rows = pq.ParquetFile(file.path).read().to_pylist()
            assert not [row for row in rows if row["request_id"] == PROBE_REQUEST_ID]
            found += [row for row in rows if row["request_id"] == answer["request_id"]]
    (row,) = found
    assert (row["user_id"], row["item_ids"], row["sources"]) == (user, answer["item_ids"], answer["sources"])
    np.testing.assert_allclose(row["scores"], answer["scores"], rtol=1e-6)
    width = len(row["continuous_columns"])
    inputs = np.reshape(row["continuous"], (20, width))
    asked = ~np.isnan(row["probabilities"])
    assert asked.any() and not np.isnan(inputs[asked]).any()
    at = row["continuous_columns"].index("evidence")
    np.testing.assert_allclose(inputs[asked, at], np.log1p(row["evidence"]), rtol=1e-6)


def test_what_is_scraped_is_listed_with_advice(site):
    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(trireme_\w+)`", page, re.MULTILINE))
    scraped = set()
    for port, path in monitoring.ENDPOINTS.values():
        status, text = readiness.http_get(site.ports[port], path)
        assert status == 200
        for family in text_string_to_metric_families(text.decode()):
            if family.name.startswith("trireme_") and not family.name.endswith("_created"):
                scraped.add(family.name + ("_total" if family.type == "counter" else ""))
    assert scraped <= listed, scraped - listed
    for name in ("trireme_answers_total", "trireme_impressions_sent_total", "trireme_impressions_published_total"):
        assert name in scraped
