"""The public HTTP interface as an OpenAPI 3.1 document, derived from the contracts: what is served, checked and tested.

What its routes take and answer: ``contracts.openapi_schemas``.
"""

from __future__ import annotations

import json
from pathlib import Path

from contracts.events import LIMITS
from contracts.openapi_schemas import Schema, schemas

_TOKEN = "No token that is known here, where tokens are asked for."
_ROUTE_ERRORS = {
    "400": "The request breaks the contract: the text names the field, what was expected and what came.",
    "401": _TOKEN,
    "413": "The body is too long.",
    "500": "The recommender could not answer; nothing is wrong with the request.",
    "502": "The recommender answered what this door does not know.",
    "503": "No server can answer now; try again.",
    "504": "The answer did not come in time; try again.",
}
_EXAMPLE = {"user_id": "1228", "k": 3, "region": "364", "exclude_ids": ["1029743"]}
_ANSWER = {
    "request_id": "c0ffee",
    "user_id": "1228",
    "item_ids": ["1082185", "995242", "981760"],
    "scores": [0.41, 0.35, 0.12],
    "sources": ["personal", "similar", "trending"],
    "release": "20261123T231637-503c1283",
    "variant": "",
    "feature_age_ms": 5321,
    "skipped": [],
}
_HEALTHY: Schema = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}


def document() -> Schema:
    """The whole document; JSON can hold it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trireme",
            "version": "1",
            "description": "Fresh personal recommendations, and the events that they learn from.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/recommendations": {"post": _recommend()},
            "/v1/similar-items": {"post": _similar()},
            "/v1/events": {"post": _events()},
            "/healthz": {"get": _get("Whether servers can answer", {"200": _HEALTHY, "503": "Too few of them can."})},
            "/openapi.json": {"get": _get("This document", {"200": {"type": "object"}, "401": _TOKEN})},
        },
        # A stack that listens on loopback asks for no token by default.
        "security": [{}, {"token": []}],
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def file() -> Path:
    """Where the document is committed."""
    return Path(__file__).parent / "schemas" / "openapi.json"


def text() -> str:
    """The document as it is committed and served."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _recommend() -> Schema:
    body = {"anyOf": [_ref("Request"), _ref("Batch")]}
    examples = {
        "one": {"value": _EXAMPLE},
        "anonymous": {"value": {"anonymous_id": "cookie-7", "device": "phone"}},
        "batch": {"value": {"requests": [{"user_id": "1228"}, {"user_id": "900", "k": 5}]}},
    }
    answer = {"anyOf": [_ref("Answer"), _ref("Answers")]}
    operation = _post("recommend", "The best items for a user, or for up to 256 users at once", body, examples, answer)
    batch = {"answers": [_ANSWER, {"error": "k: expected an integer from 1 to 100, got 0"}]}
    content = operation["responses"]["200"]["content"]["application/json"]
    content["examples"] = {"one": {"value": _ANSWER}, "batch": {"value": batch}}
    return operation


def _similar() -> Schema:
    examples = {"one": {"value": {"item_id": "1082185", "k": 3}}}
    return _post("similar_items", "Items like an item", _ref("SimilarRequest"), examples, _ref("SimilarAnswer"))


def _events() -> Schema:
    body = {
        "anyOf": [
            _ref("Event"),
            {"type": "array", "minItems": 1, "maxItems": LIMITS.max_events, "items": _ref("Event")},
        ]
    }
    event = {"event_id": "e-1", "event_type": "click", "user_id": "1228", "item_id": "1082185", "request_id": "c0ffee"}
    accepted = {"type": "object", "required": ["accepted"], "properties": {"accepted": {"type": "integer"}}}
    operation = _post("send_events", "Tell what happened", body, {"click": {"value": event}}, accepted, "202")
    refused = {"anyOf": [_ref("EventError"), _ref("Error")]}
    operation["responses"] |= {
        "400": _content("One of the events breaks the contract: none was sent on.", refused),
        "413": _content("More than 64 KiB or 500 events: send them in parts.", refused),
        "415": _content("The content type is not application/json.", refused),
        "429": _content("Too many requests; slow down and send again.", _ref("Error")),
        "503": _content("Not acknowledged in time; send the same events again, under the same ids.", refused),
    }
    return operation


def _post(name: str, summary: str, body: Schema, examples: Schema, answer: Schema, status: str = "200") -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "examples": examples}}},
        "responses": {
            status: _content("Taken." if status == "202" else "The answer.", answer),
            **{code: _content(said, _ref("Error")) for code, said in _ROUTE_ERRORS.items()},
        },
    }


def _get(summary: str, answers: Schema) -> Schema:
    return {
        "summary": summary,
        "responses": {
            code: _content(held, _ref("Error")) if isinstance(held, str) else _content("It is so.", held)
            for code, held in answers.items()
        },
    }


def _content(said: str, schema: Schema) -> Schema:
    return {"description": said, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
