"""What Prometheus scrapes and watches: one job a part, generated from the port table, and rules over its figures.

docs/metrics.md says what each figure means and what to do when an alert fires.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import StackError
from deploy.ports import address
from deploy.site import Site

#: Job -> (name of its port, path). Redis and the broker export nothing: collector and processor measure them.
ENDPOINTS = {
    "envoy": ("envoy_admin", "/stats/prometheus"),
    "collector": ("collector", "/metrics"),
    "lake": ("lake_metrics", "/metrics"),
    "processor": ("processor_metrics", "/metrics"),
    "impressions": ("impressions_metrics", "/metrics"),
    "triton_a": ("triton_a_metrics", "/metrics"),
    "triton_b": ("triton_b_metrics", "/metrics"),
    "watchdog": ("watchdog_metrics", "/metrics"),
}


#: Name of a recorded series -> its expression.
RECORDED = {
    "trireme:degraded_answers:ratio_rate1m": (
        "sum(rate(trireme_skipped_total[1m])) / sum(rate(trireme_answers_total[1m]))"
    ),
    "trireme:cache_hits:ratio_rate5m": (
        'sum(rate(trireme_cache_lookups_total{outcome="hit"}[5m])) / sum(rate(trireme_cache_lookups_total[5m]))'
    ),
    "trireme:stage_duration_seconds:p99_rate5m": (
        "histogram_quantile(0.99, sum by (le, stage) (rate(trireme_stage_duration_seconds_bucket[5m])))"
    ),
    "trireme:feature_age_seconds:p50_rate5m": (
        "histogram_quantile(0.5, sum by (le) (rate(trireme_feature_age_seconds_bucket[5m])))"
    ),
}
#: Alert -> (expression, for how long it must hold, what it says).
ALERTS = {
    "PartDown": ("up == 0", "30s", "{{ $labels.job }} is not scraped"),
    "AnswersDegraded": (
        "trireme:degraded_answers:ratio_rate1m > 0.05",
        "1m",
        "answers go without a stage: {{ $value | humanizePercentage }}",
    ),
    "ImpressionsLost": (
        "sum(rate(trireme_impressions_dropped_total[1m])) > 0 or rate(trireme_impressions_spool_dropped_total[1m]) > 0",
        "1m",
        "impressions are dropped",
    ),
    "ImpressionsWait": (
        "trireme_impressions_topic_waits == 1",
        "1m",
        "the topic of impressions is full, and the lake writer behind",
    ),
    # Not by its increase: it rises in a process' first second, before anybody has read a zero.
    "RecordsGone": (
        "trireme_lake_lost_records_total > 0 or trireme_processor_lost_records_total > 0",
        "0s",
        "the broker gave up {{ $value }} records before {{ $labels.job }} came to them",
    ),
    "FeaturesStale": ("trireme_processor_lag_events > 10000", "1m", "the processor is {{ $value }} records behind"),
    "ItemStatesStale": ("trireme_item_state_age_seconds > 10", "10s", "availability is {{ $value }} s old"),
    "ServerUnhealthy": ("trireme_watchdog_server_healthy == 0", "30s", "{{ $labels.server }} answers no inference"),
}


def rules() -> dict[str, Any]:
    """The document of ``rules.yml``."""
    recorded = [{"record": name, "expr": expression} for name, expression in RECORDED.items()]
    alerts = [
        {"alert": name, "expr": expression, "for": held, "annotations": {"summary": text}}
        for name, (expression, held, text) in ALERTS.items()
    ]
    return {"groups": [{"name": "trireme", "rules": [*recorded, *alerts]}]}


def scrape_config(ports: dict[str, int]) -> dict[str, Any]:
    """The document of ``prometheus.yml``."""
    jobs = [
        {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [address(ports[port])]}]}
        for job, (port, path) in ENDPOINTS.items()
    ]
    # Rules are looked at once a minute by default, which would be longer than some alerts hold.
    every = {"scrape_interval": "5s", "evaluation_interval": "5s"}
    return {"global": every, "rule_files": ["rules.yml"], "scrape_configs": jobs}


def write_prometheus(site: Site) -> Path:
    """Write ``prometheus.yml`` and ``rules.yml`` into the stack's folder: ``prometheus --config.file`` takes them."""
    path = site.stack / "prometheus.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    for file, document in ((path, scrape_config(site.ports)), (path.with_name("rules.yml"), rules())):
        file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def prometheus_argv(site: Site) -> list[str]:
    """The command line of a Prometheus that scrapes the stack and keeps two days of it.

    Raises:
        StackError: when Prometheus is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise StackError("prometheus is not installed; apt-get install prometheus, or get it from prometheus.io")
    return [
        program,
        f"--config.file={write_prometheus(site)}",
        f"--storage.tsdb.path={site.stack / 'prometheus'}",
        "--storage.tsdb.retention.time=2d",
        f"--web.listen-address={address(site.ports['prometheus'])}",
        "--log.level=warn",
    ]
