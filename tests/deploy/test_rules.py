"""Each alert fires of what it is for and of nothing else, by Prometheus' own reading of the rules."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from deploy import monitoring

#: Alert -> what is right and what is wrong: a series -> its values, five seconds apart.
CASES = {
    "PartDown": ({'up{job="lake"}': "1x60"}, {'up{job="lake"}': "0x60"}),
    "AnswersDegraded": (
        {"trireme_answers_total": "0+100x60", 'trireme_skipped_total{stage="ranker"}': "0+4x60"},
        {"trireme_answers_total": "0+100x60", 'trireme_skipped_total{stage="ranker"}': "0+6x60"},
    ),
    "ImpressionsLost": (
        {'trireme_impressions_dropped_total{reason="failed"}': "3x60"},
        {'trireme_impressions_dropped_total{reason="failed"}': "3+1x60"},
    ),
    "ImpressionsWait": (
        {"trireme_impressions_topic_waits": "0x20 1x4 0x36"},
        {"trireme_impressions_topic_waits": "1x60"},
    ),
    "RecordsGone": (
        {'trireme_lake_lost_records_total{topic="events"}': "0x60", "trireme_processor_lost_records_total": "0x60"},
        {'trireme_lake_lost_records_total{topic="events"}': "30x60", "trireme_processor_lost_records_total": "0x60"},
    ),
    "FeaturesStale": ({"trireme_processor_lag_events": "9999x60"}, {"trireme_processor_lag_events": "10001x60"}),
    "ItemStatesStale": ({"trireme_item_state_age_seconds": "1x60"}, {"trireme_item_state_age_seconds": "1+5x60"}),
    "ServerUnhealthy": (
        {'trireme_watchdog_server_healthy{server="triton_a"}': "1x60"},
        {'trireme_watchdog_server_healthy{server="triton_a"}': "0x60"},
    ),
}


def test_every_alert_has_its_case() -> None:
    assert set(CASES) == set(monitoring.ALERTS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus")
def test_alerts_fire_of_what_is_wrong_and_of_nothing_else(tmp_path) -> None:
    def seen(series: dict[str, str], firing: list[str]) -> dict[str, object]:
        fired = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing]
        query = 'count by (alertname) (ALERTS{alertstate="firing"})'
        return {
            "interval": "5s",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": query, "eval_time": "4m", "exp_samples": fired}],
        }

    cases = [
        seen(series, firing)
        for name, (right, wrong) in CASES.items()
        for series, firing in ((right, []), (wrong, [name]))
    ]
    every = monitoring.scrape_config({port: 0 for port, _ in monitoring.ENDPOINTS.values()})["global"]
    document = {"rule_files": ["rules.yml"], "evaluation_interval": every["evaluation_interval"], "tests": cases}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(monitoring.rules()), encoding="utf-8")
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    argv = ["promtool", "test", "rules", str(tmp_path / "cases.yml")]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stdout + told.stderr
