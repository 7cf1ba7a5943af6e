"""Whoever refuses a request, Python or C++, refuses the same with the same words."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import RequestError, shown
from contracts.requests import MAX_BODY_BYTES, Request, SimilarRequest, parse_body, parse_similar
from ensemble.native import Core, RefusedError
from tests.ensemble.test_triton import HOSTILE

MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: A lone surrogate is no JSON to the C++ parser, and not printable to Python: both refuse it, in other words.
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=140)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.integers(10**300, 10**320) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PRICES = st.integers(-1, 9) | st.floats(-1, 2e12)
FILTER = {
    "category": st.lists(TEXTS, max_size=3),
    "price_min": PRICES,
    "price_max": PRICES,
    "available": st.booleans(),
}
WISHES = {
    "k": st.integers(-2, 104),
    "region": TEXTS,
    "exclude_ids": st.lists(TEXTS, max_size=5),
    "request_id": TEXTS,
    "deadline_ms": st.integers(-1, 10_010),
    "candidate_filter": st.fixed_dictionaries({}, optional={name: kind | VALUES for name, kind in FILTER.items()}),
    "diversity": st.floats(-0.2, 1.2) | st.integers(-1, 2),
}
FIELDS = WISHES | {
    "user_id": TEXTS,
    "anonymous_id": TEXTS,
    "device": TEXTS,
    "session_id": TEXTS,
    "context": st.dictionaries(TEXTS, TEXTS | st.booleans() | st.floats() | st.integers(), max_size=18),
}


def documents(fields: dict[str, st.SearchStrategy]) -> st.SearchStrategy:
    """Objects of some fields, valid ones or not, and of others."""
    named = st.fixed_dictionaries({}, optional={name: kind | VALUES for name, kind in fields.items()})
    return (
        named
        | st.fixed_dictionaries({}, optional=fields)
        | st.dictionaries(st.sampled_from([*fields, "golden_row"]) | TEXTS, VALUES, max_size=4)
    )


REQUESTS = documents(FIELDS)


def plain(request: Request | SimilarRequest | RequestError) -> dict | str:
    """As the core shows it."""
    return str(request) if isinstance(request, RequestError) else json.loads(json.dumps(dataclasses.asdict(request)))


def by_python(body: bytes, call: str = "parse") -> dict | list | str:
    try:
        found = parse_body(body) if call == "parse" else parse_similar(body)
    except RequestError as error:
        return str(error)
    return list(map(plain, found)) if isinstance(found, list) else plain(found)


def by_the_core(core: Core, body: bytes, call: str = "parse") -> dict | list | str:
    try:
        return core(call, body=body.decode("latin-1"))
    except RefusedError as error:
        return str(error)


def alike(by_core: dict | list | str, by_oracle: dict | list | str) -> bool:
    """The same request, or refused by both, in whatever words."""
    return by_core == by_oracle or (isinstance(by_core, str) and isinstance(by_oracle, str))


@MANY
@given(REQUESTS | VALUES, st.booleans())
def test_any_json_is_taken_or_refused_alike(core: Core, document: object, escaped: bool) -> None:
    body = json.dumps(document, ensure_ascii=escaped).encode()
    assert by_the_core(core, body) == by_python(body)


@MANY
@given(
    st.fixed_dictionaries({"item_id": TEXTS}, optional=WISHES)
    | documents(WISHES | {"item_id": TEXTS, "user_id": TEXTS})
)
def test_so_is_any_request_for_similar_items(core: Core, document: object) -> None:
    body = json.dumps(document).encode()
    assert by_the_core(core, body, "parse_similar") == by_python(body, "parse_similar")


@MANY
@given(st.lists(REQUESTS | VALUES, max_size=5) | VALUES, st.dictionaries(TEXTS, VALUES, max_size=1))
def test_a_batch_is_taken_with_an_error_for_each_that_is_refused(core: Core, held: object, more: dict) -> None:
    body = json.dumps({"requests": held, **more}).encode()
    assert by_the_core(core, body) == by_python(body)


@MANY
@given(st.binary(max_size=200) | st.sampled_from(HOSTILE))
def test_any_bytes_are_taken_or_refused_by_both(core: Core, body: bytes) -> None:
    by_core = by_the_core(core, body)
    assert alike(by_core, by_python(body))
    assert len(str(by_core)) < 600


@MANY
@given(st.randoms(use_true_random=False), st.sampled_from(["damage", "cut", "double"]))
def test_a_damaged_body_is_never_taken_for_another_request(core: Core, chance: random.Random, how: str) -> None:
    body = bytearray(
        json.dumps({"user_id": "Zoë 'ß", "k": 7, "exclude_ids": ["a\n", "b\\"]}, ensure_ascii=False).encode()
    )
    place = chance.randrange(len(body))
    if how == "damage":
        body[place] = chance.randrange(256)
    elif how == "cut":
        del body[place:]
    else:
        body[place:place] = body[place : place + chance.randrange(9)]
    assert alike(by_the_core(core, bytes(body)), by_python(bytes(body)))


@pytest.mark.parametrize(
    "body",
    [
        b" " * (MAX_BODY_BYTES + 1),
        b"[" * 50_000,
        b'{"user_id":"a","user_id":"b"}',
        b'\xef\xbb\xbf{"user_id":"a"}',
        b'{"user_id":"' + "é".encode() * 128 + b'"}',
        b'{"user_id":"' + "é".encode() * 129 + b'"}',
        b'{"user_id":"it\'s \\"quoted\\""}',
        b'{"user_id":"a","":1}',
        b'{"user_id":"a","exclude_ids":' + json.dumps(["i"] * 501).encode() + b"}",
        b'{"user_id":"a","k":1' + b"0" * 400 + b"}",
        b'{"user_id":"a","k":1' + b"0" * 19 + b"}",
        b'{"user_id":"a","k":-0}',
        b'{"user_id":"a","k":NaN}',
        b'{"user_id":"a","diversity":-Infinity}',
        b'{"user_id":"a","diversity":1e-400}',
        b'{"user_id":"a","diversity":1e400}',
        b'{"user_id":"a","k":1,"k":2}',
        b'{"user_id":"a","user_id":7}',
        '{"user_id":"a"}'.encode("utf-16"),
        b'{"anonymous_id":"a"}',
        b'{"anonymous_id":"a","user_id":""}',
        b'{"anonymous_id":"","user_id":""}',
        b'{"requests":[]}',
        b'{"requests":[' + b'{"user_id":"a"},' * 255 + b'{"requests":[]}]}',
        b'{"requests":[' + b'{"user_id":"a"},' * 256 + b"{}]}",
        b'{"requests":[{"user_id":"a"}],"user_id":"b"}',
        b'{"user_id":"a","candidate_filter":{"price_min":3,"price_max":2.5}}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_edges_are_seen_alike(core: Core, body: bytes) -> None:
    assert by_the_core(core, body) == by_python(body)


@MANY
@given(st.floats())
def test_numbers_are_shown_as_python_shows_them(core: Core, value: float) -> None:
    if value == value and abs(value) != float("inf"):
        assert core("repr_number", value=value) == shown(value)
