"""What the public HTTP interface takes and answers, as JSON schemas derived from the contracts.

Limits and defaults are those of ``contracts.requests`` and ``contracts.events``, descriptions those of docstrings.
A schema cannot say everything: what "printable" is, or that a price must not exceed another.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from contracts import request_values as limits
from contracts import requests
from contracts.events import FIELDS, LIMITS, EventType, Field, Reason

Schema = dict[str, Any]


def schemas() -> Schema:
    """Every schema by its name."""
    request = _object(requests.Request, _REQUEST)
    named = {"required": ["user_id"], "properties": {"user_id": {"minLength": 1}}}
    unnamed = {"required": ["anonymous_id"], "properties": {"anonymous_id": {"minLength": 1}}}
    return {
        "Request": request | {"anyOf": [named, unnamed]},
        "SimilarRequest": _object(requests.SimilarRequest, _REQUEST) | {"required": ["item_id"]},
        "CandidateFilter": _object(requests.CandidateFilter, _REQUEST),
        "Batch": {
            "type": "object",
            "additionalProperties": False,
            "required": ["requests"],
            "properties": {
                "requests": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": requests.MAX_BATCH,
                    "items": {},
                    "description": "Requests, each as if it came alone: one that is refused has an error of its own.",
                }
            },
        },
        "Answer": _object(requests.Answer, _ANSWERED),
        "SimilarAnswer": _object(requests.SimilarAnswer, _ANSWERED),
        "Answers": {
            "type": "object",
            "required": ["answers"],
            "properties": {"answers": {"type": "array", "items": {"anyOf": [_ref("Answer"), _ref("Error")]}}},
        },
        "Event": _event(),
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
        "EventError": _event_error(),
    }


def _object(kind: type, by_name: Schema) -> Schema:
    """A dataclass: every field by its schema and its description, and of what is asked by its default too."""
    # What both kinds of request, and of answer, have in common is described once.
    said = _attributes(_LIKE[kind]) | _attributes(kind) if kind in _LIKE else _attributes(kind)
    answer = kind in (requests.Answer, requests.SimilarAnswer)
    properties: Schema = {}
    for field in dataclasses.fields(kind):
        held = dict(by_name[field.name])
        if field.name in said:
            held["description"] = said[field.name]
        if isinstance(field.default, (str, int, float)) and field.default != "" and not answer:
            held["default"] = field.default
        properties[field.name] = held
    strict = {"required": [*properties]} if answer else {"additionalProperties": False}
    return {"type": "object", **strict, "properties": properties}


def _attributes(kind: type) -> dict[str, str]:
    """Descriptions in the ``Attributes`` of a docstring, by name."""
    _, _, part = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", part, re.MULTILINE)
    return {name: " ".join(said.replace("``", "").split()) for name, said in found}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _event() -> Schema:
    """What ``contracts.events`` takes; ``event_time`` is now when it is left out."""
    by_type = [
        {
            "if": {"properties": {"event_type": {"const": kind.value}}},
            "then": {
                "required": [field.name for field in FIELDS if kind in field.required_by and field.name != "event_time"]
            },
        }
        for kind in EventType
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["event_id", "event_type"],
        "properties": {field.name: {"description": field.doc, **_event_field(field)} for field in FIELDS},
        "allOf": by_type,
    }


def _event_field(field: Field) -> Schema:
    if field.name == "event_type":
        return {"enum": [kind.value for kind in EventType]}
    if field.name == "event_time":
        return {"type": ["integer", "null"], "minimum": LIMITS.min_event_time}
    kinds: Schema = {
        "string": {"type": "string", "minLength": 1, "maxLength": LIMITS.max_id_chars},
        "double": {"type": ["number", "null"], "minimum": 0},
        "int": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1},
        "map": {
            "type": ["object", "null"],
            "maxProperties": LIMITS.max_attributes,
            "propertyNames": {"minLength": 1, "maxLength": LIMITS.max_id_chars},
            "additionalProperties": {"type": "string", "maxLength": LIMITS.max_id_chars},
        },
    }
    held = dict(kinds[field.kind])
    if field.name == "quantity":
        held["maximum"] = LIMITS.max_quantity
    if field.kind == "string" and field.name != "event_id":
        held["type"] = ["string", "null"]
    return held


def _event_error() -> Schema:
    codes = {reason.value for reason in Reason} | {"malformed_json", "empty", "too_many_events", "too_large"}
    codes |= {"unsupported_media_type", "broker_unavailable", "busy", "disconnected"}
    named = {
        "code": {"enum": sorted(codes)},
        "field": {"type": "string"},
        "message": {"type": "string"},
        "index": {"type": "integer", "description": "The place of the event in the list."},
    }
    error = {"type": "object", "required": [*named], "properties": named}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _texts(most: int) -> Schema:
    return {"type": "array", "maxItems": most, "items": {**_TEXT, "minLength": 1}}


#: Printable, besides: letters, marks, digits, punctuation, symbols and the blank.
_TEXT: Schema = {"type": "string", "maxLength": limits.MAX_ID_CHARS, "pattern": "^[^\\x00-\\x1f\\x7f-\\xa0]*$"}
_PRICE: Schema = {"type": "number", "minimum": 0, "maximum": limits.MAX_PRICE}
_REQUEST: Schema = {
    **dict.fromkeys(("user_id", "region", "request_id", "anonymous_id", "device", "session_id"), _TEXT),
    "item_id": {**_TEXT, "minLength": 1},
    "k": {"type": "integer", "minimum": 1, "maximum": requests.MAX_K},
    "exclude_ids": _texts(limits.MAX_EXCLUDED),
    "deadline_ms": {"type": "integer", "minimum": 1, "maximum": requests.MAX_DEADLINE_MS},
    "context": {
        "type": "object",
        "maxProperties": limits.MAX_CONTEXT,
        "propertyNames": {**_TEXT, "minLength": 1},
        "additionalProperties": {"anyOf": [_TEXT, {"type": ["number", "boolean"]}]},
    },
    "candidate_filter": _ref("CandidateFilter"),
    "diversity": {"type": "number", "minimum": 0, "maximum": 1},
    "category": _texts(limits.MAX_CATEGORIES),
    "price_min": _PRICE,
    "price_max": _PRICE,
    "available": {"type": "boolean"},
}
_LIKE = {requests.SimilarRequest: requests.Request, requests.SimilarAnswer: requests.Answer}
_SOURCES = [value for name, value in vars(requests.Source).items() if name.isupper()]
_ANSWERED: Schema = {
    **dict.fromkeys(("request_id", "user_id", "item_id", "release", "variant"), {"type": "string"}),
    "item_ids": {"type": "array", "maxItems": requests.MAX_K, "uniqueItems": True, "items": {"type": "string"}},
    "scores": {"type": "array", "items": {"type": "number"}},
    "sources": {"type": "array", "items": {"enum": _SOURCES}},
    "feature_age_ms": {"type": "integer", "minimum": -1},
    "skipped": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["stage", "reason"],
            "properties": {"stage": {"type": "string"}, "reason": {"type": "string"}},
        },
    },
}
