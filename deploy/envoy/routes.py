"""What is reachable from outside, route by route; everything that is not listed is 404 (gRPC: UNIMPLEMENTED)."""

from __future__ import annotations

from typing import Any

from contracts import openapi
from deploy.envoy.clusters import INFER_PATH, SIMILAR_INFER_PATH

LUA = "envoy.filters.http.lua"
LOCAL_RATE_LIMIT = "envoy.filters.http.local_ratelimit"
SERVICE = "/inference.GRPCInferenceService"
ROUTE_CONFIG = "main"
INTERFACE_PATH = "/openapi.json"


def route_configuration(events_per_second: int) -> dict[str, Any]:
    """The route file: watched by Envoy, so that canaries and shadows need no restart."""
    routes = [
        _inference("/v1/recommendations", INFER_PATH),
        _inference("/v1/similar-items", SIMILAR_INFER_PATH),
        _events(events_per_second),
        _interface(),
        *(_grpc(method, guarded=True) for method in ("ModelInfer", "ModelReady")),
        *(_grpc(method, guarded=False) for method in ("ServerLive", "ServerReady")),
        {
            "match": {"prefix": "/"},
            "direct_response": {
                "status": 404,
                "body": {"inline_string": "no such route; there are POST /v1/recommendations, POST /v1/similar-items, "
                         f"POST /v1/events, GET /openapi.json, GET /healthz and gRPC {SERVICE[1:]}/ModelInfer"},
            },
        },
    ]  # fmt: skip
    return {
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                "name": ROUTE_CONFIG,
                "max_direct_response_body_size_bytes": len(openapi.text().encode()),
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
            }
        ]
    }


def _inference(path: str, infer_path: str) -> dict[str, Any]:
    """REST: the body goes to Triton unparsed, as the one string tensor of an ensemble.

    So a client of REST sends no shapes: a shape of 2^40 in Triton's own JSON ends the whole server.
    """
    return {
        "match": {"path": path, "headers": [_method("POST")]},
        "request_headers_to_add": [_overwrite("Inference-Header-Content-Length", "0")],
        # Triton would unzip what claims to be zipped, past the size limit of this door.
        "request_headers_to_remove": ["content-encoding", "accept-encoding"],
        "route": {
            "cluster": "triton_http",
            "timeout": "2s",
            "regex_rewrite": {"pattern": {"regex": "^.*$"}, "substitution": infer_path},
            "retry_policy": _retry("5xx"),
        },
        "typed_per_filter_config": {LUA: _lua("unframe")},
    }


def _events(per_second: int) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "match": {"path": "/v1/events", "headers": [_method("POST")]},
        # No retry: the collector may have sent the event on before its answer was lost. Clients retry with the same id.
        "route": {"cluster": "collector", "timeout": "10s"},
        "typed_per_filter_config": {
            LOCAL_RATE_LIMIT: {
                "@type": kind,
                "stat_prefix": "events",
                "token_bucket": {"max_tokens": per_second, "tokens_per_fill": per_second, "fill_interval": "1s"},
                "filter_enabled": always,
                "filter_enforced": always,
            }
        },
    }


def _interface() -> dict[str, Any]:
    """What there is, for people and for generators of clients; ``_local_replies`` gives it its content type."""
    return {
        "match": {"path": INTERFACE_PATH, "headers": [_method("GET")]},
        "direct_response": {"status": 200, "body": {"inline_string": openapi.text()}},
    }


def _grpc(method: str, guarded: bool) -> dict[str, Any]:
    # INTERNAL is what a dead python stub answers, RESOURCE_EXHAUSTED and UNAVAILABLE a full queue.
    retry = _retry("connect-failure,refused-stream,reset,gateway-error,unavailable,resource-exhausted,internal")
    route: dict[str, Any] = {
        "match": {"path": f"{SERVICE}/{method}", "headers": [_method("POST")], "grpc": {}},
        "route": {"cluster": "triton_grpc", "timeout": "2s", "retry_policy": retry},
    }
    if guarded:
        route["typed_per_filter_config"] = {LUA: _lua("grpc_guard")}
    return route


def _retry(on: str) -> dict[str, Any]:
    """One more try, on another server.

    Inference changes nothing, so it may be repeated; but a request that kills a server must not be carried to all.
    """
    predicate = "envoy.retry_host_predicates.previous_hosts"
    kind = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    return {
        "retry_on": on,
        "num_retries": 1,
        "per_try_timeout": "1s",
        "retry_host_predicate": [{"name": predicate, "typed_config": {"@type": kind}}],
        # The balancer draws at random; with few draws it may end on the failed server again.
        "host_selection_retry_max_attempts": 20,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
    }


def _lua(name: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute", "name": name}


def _method(name: str) -> dict[str, Any]:
    return {"name": ":method", "string_match": {"exact": name}}


def _overwrite(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
