"""Envoy's bootstrap: one public listener for HTTP/1.1, HTTP/2 and gRPC; admin on the loopback interface only.

Clusters and the listener are static; routes and the endpoints of the tritonservers lie in files of their own, which
Envoy watches: a rollout rewrites them (write, then rename) and nothing restarts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from contracts.door import OPEN_DOOR, DoorSettings
from deploy.envoy import auth, clusters, routes
from deploy.ports import HOST

#: Bodies over this are answered 413. A batch of 256 requests has a kilobyte for each; one request with 500 excluded ids
#: of 128 characters has 65,000 bytes. (The collector takes less.)
MAX_BODY_BYTES = 262_144
#: Requests (not events: a request may hold many) to ``/v1/events`` per second, for all clients together.
EVENTS_PER_SECOND = 300
#: Headers of a request together. Triton closes the connection on more than it likes, and says nothing.
MAX_HEADERS_KIB = 16
#: Open connections of clients; more are refused.
MAX_CONNECTIONS = 4096

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_LOCAL_REPLIES = {
    400: "expected a well-formed HTTP request",
    401: "expected a token that is known here, as in Authorization: Bearer TOKEN",
    413: f"expected a body of at most {MAX_BODY_BYTES} bytes",
    431: f"expected headers of at most {MAX_HEADERS_KIB} KiB, and at most 100",
    429: "too many requests; slow down and send again",
    503: "no server can answer now; try again",
    504: "the answer did not come in time; try again",
}


def write_config(folder: Path, ports: Mapping[str, int], door: DoorSettings = OPEN_DOOR) -> Path:
    """Write the bootstrap and the files it watches; returns the bootstrap's path."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "routes.yaml", routes.route_configuration(EVENTS_PER_SECOND))
    write_endpoints(folder, ports, ("triton_a", "triton_b"))
    bootstrap = folder / "envoy.yaml"
    _write(bootstrap, _bootstrap(folder, ports, door))
    return bootstrap


def write_endpoints(folder: Path, ports: Mapping[str, int], servers: tuple[str, ...]) -> None:
    """Say which tritonservers take requests: what a rollout calls to take one out and to put it back."""
    for protocol in ("http", "grpc"):
        pool = [(ports[f"{server}_{protocol}"], ports[f"{server}_http"]) for server in servers]
        _write(_endpoint_file(folder, protocol), clusters.endpoints(f"triton_{protocol}", pool))


def _write(path: Path, document: Any) -> None:
    """By rename, so that Envoy never reads a half; for this user alone, for there may be tokens in it."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(yaml.safe_dump(document, sort_keys=False))
    partial.replace(path)


def _endpoint_file(folder: Path, protocol: str) -> Path:
    return folder.resolve() / f"endpoints_{protocol}.yaml"


def _bootstrap(folder: Path, ports: Mapping[str, int], door: DoorSettings) -> dict[str, Any]:
    return {
        "node": {"id": "trireme", "cluster": "trireme"},
        "admin": {"address": _address(ports["envoy_admin"])},
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "static_resources": {
            "listeners": [_listener(folder, ports["public"], door)],
            "clusters": [
                *(clusters.triton_cluster(p, str(_endpoint_file(folder, p))) for p in ("http", "grpc")),
                clusters.collector_cluster(ports["collector"]),
            ],
        },
    }


def _connection_limit() -> dict[str, Any]:
    kind = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    limit = {"@type": f"type.googleapis.com/{kind}", "max_active_downstream_connections": MAX_CONNECTIONS}
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit}


def _listener(folder: Path, port: int, door: DoorSettings) -> dict[str, Any]:
    manager = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": _connection_manager(folder, door),
    }
    return {
        "name": "public",
        "address": _address(port, door.bind),
        "per_connection_buffer_limit_bytes": 1_048_576,
        "filter_chains": [{"filters": [manager], **auth.transport_socket(door)}],
    }


def _connection_manager(folder: Path, door: DoorSettings) -> dict[str, Any]:
    watched = {"path_config_source": {"path": str(folder.resolve() / "routes.yaml")}, "resource_api_version": "V3"}
    kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": f"type.googleapis.com/{kind}",
        "stat_prefix": "public",
        "codec_type": "AUTO",
        # Nobody is internal (the range is one that is never given out; an empty list would mean all private
        # addresses): x-envoy-* headers of clients, which set retries and time-outs, are dropped.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "192.0.2.0", "prefix_len": 32}]},
        "normalize_path": True,
        "max_request_headers_kb": MAX_HEADERS_KIB,
        # Slow clients do not hold connections.
        "stream_idle_timeout": "15s",
        "request_timeout": "5s",
        "request_headers_timeout": "3s",
        "common_http_protocol_options": {"idle_timeout": "60s"},
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": _local_replies(),
        "rds": {"route_config_name": routes.ROUTE_CONFIG, "config_source": watched},
        "http_filters": _filters(door),
    }


def _filters(door: DoorSettings) -> list[dict[str, Any]]:
    """In the order in which a request passes them."""
    here = Path(__file__).parent
    scripts = {
        name: {"inline_string": (here / f"{name}.lua").read_text(encoding="utf-8")}
        for name in ("unframe", "grpc_guard")
    }
    healthz = {"name": ":path", "string_match": {"exact": "/healthz"}}
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    needed = {"triton_http": {"value": 1.0}, "triton_grpc": {"value": 1.0}, "collector": {"value": 1.0}}
    return [
        _filter(
            "health_check",
            "health_check.v3.HealthCheck",
            pass_through_mode=False,
            headers=[healthz, get],
            cluster_min_healthy_percentages=needed,
        ),
        *auth.token_filters(door),
        # Without a bucket of its own: the route of the events has it.
        _filter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", stat_prefix="none"),
        _filter("buffer", "buffer.v3.Buffer", max_request_bytes=MAX_BODY_BYTES),
        _filter("lua", "lua.v3.Lua", source_codes=scripts),
        _filter("router", "router.v3.Router"),
    ]


def _filter(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{_HTTP}.{kind}", **settings}}


def _local_replies() -> dict[str, Any]:
    """Envoy's own answers are ``{"error": ...}`` like everybody's; to gRPC they are the status message, plain."""
    is_grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    plain = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}
    mappers: list[dict[str, Any]] = [{"filter": {"header_filter": {"header": is_grpc}}, "body_format_override": plain}]
    for status, text in _LOCAL_REPLIES.items():
        mappers.append({"filter": _status_is(status), "body": {"inline_string": text}})
    # The good news that Envoy has of its own: what there is, and /healthz.
    told = {"and_filter": {"filters": [_status_is(200), _path_is(routes.INTERFACE_PATH)]}}
    mappers.append({"filter": told, "body_format_override": {**plain, "content_type": "application/json"}})
    mappers.append({"filter": _status_is(200), "body_format_override": {"json_format": {"status": "ok"}}})
    return {"mappers": mappers, "body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}}


def _path_is(path: str) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": ":path", "string_match": {"exact": path}}}}


def _status_is(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"local_reply_{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _address(port: int, host: str = HOST) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
