"""Who may pass the door: bearer tokens by Envoy's own filter, client certificates by its TLS."""

from __future__ import annotations

from typing import Any

from contracts.door import DoorSettings

_FILTER = "envoy.filters.http.api_key_auth"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def token_filters(door: DoorSettings) -> list[dict[str, Any]]:
    """The filter that answers 401 (gRPC: UNAUTHENTICATED) to whoever shows no known token; none without tokens.

    Envoy looks a token up by its hash, seeded at random, so that how long it takes tells nothing of how much of a guess
    is right; it marks tokens as sensitive, and its admin page shows none. What is behind the door never sees them.
    """
    if not door.tokens:
        return []
    settings = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        "credentials": [{"key": token, "client": f"token-{i}"} for i, token in enumerate(door.tokens, start=1)],
        "key_sources": [{"header": "Authorization"}],
        "forwarding": {"hide_credentials": True},
    }
    return [{"name": _FILTER, "typed_config": settings}]


def transport_socket(door: DoorSettings) -> dict[str, Any]:
    """The listener's TLS, with a client's certificate demanded where an authority for it is named; {} without TLS."""
    if not door.tls_cert:
        return {}
    pair = {"certificate_chain": {"filename": door.tls_cert}, "private_key": {"filename": door.tls_key}}
    common: dict[str, Any] = {
        "tls_certificates": [pair],
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
    }
    if door.client_ca:
        common["validation_context"] = {"trusted_ca": {"filename": door.client_ca}}
    context = {"@type": _TLS, "common_tls_context": common, "require_client_certificate": bool(door.client_ca)}
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}
