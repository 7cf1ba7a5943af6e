"""The OpenAPI document says what the contracts say: whatever they take it allows, and its examples are taken."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from contracts import openapi, requests
from contracts.errors import RequestError
from contracts.events import EventType, validate
from contracts.openapi_schemas import schemas
from tests.contracts.test_requests import FIELDS, LARGEST
from tests.strategies import NOW_MS, ids, json_values, raw_events

DOCUMENT = openapi.document()


def allows(name: str, value: object) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema).is_valid(json.loads(json.dumps(value)))


def test_it_is_committed_as_it_is_generated() -> None:
    assert openapi.file().read_text(encoding="utf-8") == openapi.text()


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for schema in schemas().values():
        Draft202012Validator.check_schema(schema)
    for name in openapi.text().split('"#/components/schemas/')[1:]:
        assert name.partition('"')[0] in schemas()


@pytest.mark.parametrize(
    "kind",
    [
        requests.Request,
        requests.SimilarRequest,
        requests.CandidateFilter,
        requests.Answer,
        requests.SimilarAnswer,
    ],
)
def test_every_field_is_described(kind: type) -> None:
    told = schemas()[kind.__name__]["properties"]
    assert [*told] == [field.name for field in dataclasses.fields(kind)]
    assert [name for name, held in told.items() if "description" not in held] == []


def test_limits_are_those_of_the_contract() -> None:
    assert allows("Request", LARGEST.to_document())
    for wrong in ({"k": requests.MAX_K + 1}, {"exclude_ids": ["a"] * 501}, {"diversity": 1.1}, {"limit": 5}):
        assert not allows("Request", {"user_id": "u", **wrong})
    assert not allows("Request", {})
    assert not allows("Batch", {"requests": [{}] * (requests.MAX_BATCH + 1)})


@given(st.sampled_from(FIELDS), json_values, ids)
def test_whatever_is_taken_is_allowed(field: str, held: Any, user: str) -> None:
    raw = {"user_id": user} | {field: held}
    try:
        request = requests.check_request(raw)
    except RequestError:
        return
    assert allows("Request", raw)
    assert allows("Request", request.to_document())


@given(raw_events())
def test_so_is_any_event(raw: dict[str, Any]) -> None:
    validate(raw, NOW_MS)
    assert allows("Event", raw)


@pytest.mark.parametrize("kind", EventType)
def test_an_event_without_what_its_type_needs_is_not(kind: EventType) -> None:
    assert not allows("Event", {"event_id": "e", "event_type": kind.value})


def test_examples_are_taken() -> None:
    examples = {
        path: route["post"]["requestBody"]["content"]["application/json"]["examples"].values()
        for path, route in DOCUMENT["paths"].items()
        if "post" in route
    }
    for example in examples["/v1/recommendations"]:
        found = requests.parse_body(json.dumps(example["value"]).encode())
        assert not isinstance(found, list) or all(isinstance(one, requests.Request) for one in found)
    for example in examples["/v1/similar-items"]:
        requests.check_similar(example["value"])
    for example in examples["/v1/events"]:
        validate({**example["value"], "event_time": NOW_MS}, NOW_MS)


def test_answers_are_as_they_are_told() -> None:
    skipped = ({"stage": "ranker", "reason": "late"},)
    answer = requests.Answer("r", "u", ("a",), (0.5,), ("trending",), "release", "", -1, skipped)
    assert allows("Answer", json.loads(answer.to_json()))
    assert allows("Answers", json.loads(requests.batch_json([answer, "k: expected"])))
    similar = requests.SimilarAnswer("r", "7", ("a",), (0.5,), ("similar",), "release", "")
    assert allows("SimilarAnswer", json.loads(similar.to_json()))
    assert not allows("SimilarAnswer", json.loads(answer.to_json()))
    assert not allows("Answer", {**json.loads(answer.to_json()), "sources": ["magic"]})
