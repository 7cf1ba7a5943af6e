"""What Prometheus scrapes: one job a part, generated from the port table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy.ports import address
from deploy.site import Site

#: Job -> (name of its port, path). Redis and the broker export nothing: collector and processor measure them.
ENDPOINTS = {
    "envoy": ("envoy_admin", "/stats/prometheus"),
    "collector": ("collector", "/metrics"),
    "lake": ("lake_metrics", "/metrics"),
    "processor": ("processor_metrics", "/metrics"),
    "triton_a": ("triton_a_metrics", "/metrics"),
    "triton_b": ("triton_b_metrics", "/metrics"),
    "watchdog": ("watchdog_metrics", "/metrics"),
}


def scrape_config(ports: dict[str, int]) -> dict[str, Any]:
    """The document of ``prometheus.yml``."""
    jobs = [
        {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [address(ports[port])]}]}
        for job, (port, path) in ENDPOINTS.items()
    ]
    return {"global": {"scrape_interval": "5s"}, "scrape_configs": jobs}


def write_prometheus(site: Site) -> Path:
    """Write ``prometheus.yml`` into the stack's folder: ``prometheus --config.file`` takes it as it stands."""
    path = site.stack / "prometheus.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(scrape_config(site.ports), sort_keys=False), encoding="utf-8")
    return path
