"""Who stands behind Envoy: the pool of tritonservers (once by HTTP, once by gRPC) and the collector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from contracts.impressions import PROBE_REQUEST_ID
from deploy.ports import HOST

#: A user of this id is never seen, so the check runs the whole ensemble and touches nobody's features.
HEALTH_REQUEST = json.dumps({"user_id": "health-check", "k": 1, "request_id": PROBE_REQUEST_ID}).encode()
INFER_PATH = "/v2/models/recommendations_json/infer"
SIMILAR_INFER_PATH = "/v2/models/similar_items_json/infer"


def triton_cluster(protocol: str, eds_path: str) -> dict[str, Any]:
    """The cluster of all tritonservers by one protocol (``http`` or ``grpc``); its endpoints come from a watched file.

    Health is a real inference over HTTP, for both protocols: a dead python stub fails every request while
    Triton's own readiness endpoint goes on to answer 200.
    """
    options = {"http2_protocol_options": {}} if protocol == "grpc" else {"http_protocol_options": {}}
    return {
        "name": f"triton_{protocol}",
        "type": "EDS",
        "connect_timeout": "0.5s",
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {"eds_config": {"path_config_source": {"path": eds_path}, "resource_api_version": "V3"}},
        # By default what is learned of a server's health is collected for a second before it counts.
        "common_lb_config": {"update_merge_window": "0s"},
        # An endpoint that is taken out is drained, not kept until its health check fails.
        "ignore_health_on_host_removal": True,
        "typed_extension_protocol_options": _protocol_options({"explicit_http_config": options}),
        "health_checks": [_inference_check()],
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "1s",
            "base_ejection_time": "3s",
            "max_ejection_percent": 60,
        },
        "circuit_breakers": _thresholds(max_requests=512),
    }


def endpoints(cluster: str, pool: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The endpoint file of a cluster.

    Args:
        cluster: its name.
        pool: (port of requests, HTTP port of health checks) of every server.
    """
    members = [
        {
            "endpoint": {
                "address": {"socket_address": {"address": HOST, "port_value": port}},
                "health_check_config": {"port_value": check},
            }
        }
        for port, check in pool
    ]
    return {
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": cluster,
                "endpoints": [{"lb_endpoints": members}],
            }
        ]
    }


def collector_cluster(port: int) -> dict[str, Any]:
    """The collector: health is its own readiness, which asks the broker."""
    address = {"socket_address": {"address": HOST, "port_value": port}}
    return {
        "name": "collector",
        "type": "STATIC",
        "connect_timeout": "0.5s",
        "load_assignment": {
            "cluster_name": "collector",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": _protocol_options({"explicit_http_config": {"http_protocol_options": {}}}),
        "health_checks": [_check({"path": "/healthz"})],
        "circuit_breakers": _thresholds(max_requests=256),
    }


def _inference_check() -> dict[str, Any]:
    return _check(
        {
            "path": INFER_PATH,
            "method": "POST",
            "codec_client_type": "HTTP1",
            "request_headers_to_add": [{"header": {"key": "Inference-Header-Content-Length", "value": "0"}}],
            "send": {"text": HEALTH_REQUEST.hex()},
        }
    )


def _check(http: dict[str, Any]) -> dict[str, Any]:
    return {
        # Two busy cores stretch an inference of milliseconds; a check that is too strict empties the pool under load.
        "timeout": "1s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_interval": "0.5s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": http,
    }


def _protocol_options(options: dict[str, Any]) -> dict[str, Any]:
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {kind: {"@type": f"type.googleapis.com/{kind}", **options}}


def _thresholds(max_requests: int) -> dict[str, Any]:
    limits = {"max_connections": 1024, "max_pending_requests": 256, "max_requests": max_requests, "max_retries": 32}
    return {"thresholds": [limits]}
