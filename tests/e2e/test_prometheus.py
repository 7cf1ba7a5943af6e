"""A real Prometheus reads the running platform: every page, and its conventions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request

import pytest

from deploy import monitoring, readiness
from deploy.site import Site, open_site
from tests import running
from tests.conftest import CONFIG

pytestmark = [
    pytest.mark.integration,
    # The first test waits for the whole pipeline.
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="it is not installed: apt-get install prometheus"),
]


@pytest.fixture
def site(platform, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TRIREME_ROOT", str(platform[0].root))
    monkeypatch.setenv("TRIREME_PORT_BASE", str(platform[0].port_base))
    return open_site(CONFIG)


def test_every_page_is_scraped_and_rules_are_evaluated(site, tmp_path):
    base = f"http://127.0.0.1:{site.ports['prometheus']}/api/v1"

    def asked(path: str) -> dict:
        with urllib.request.urlopen(f"{base}/{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    log = tmp_path / "prometheus.log"
    argv = [sys.executable, "-m", "deploy", "prometheus", CONFIG]

    def healthy() -> set[str]:
        targets = asked("targets")["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}

    def evaluated() -> bool:
        return all(rule["health"] == "ok" for rule in asked("rules")["groups"][0]["rules"])

    with running.process(argv, log, {**os.environ, **site.environment()}):
        running.wait_until(lambda: healthy() == set(monitoring.ENDPOINTS), "every page", log)
        running.wait_until(evaluated, "every rule", log)


def test_our_names_keep_to_prometheus_conventions(site):
    for port, path in monitoring.ENDPOINTS.values():
        status, page = readiness.http_get(site.ports[port], path)
        assert status == 200
        told = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, timeout=60)
        ours = [line for line in told.stderr.decode().splitlines() if "trireme" in line]
        assert not ours
