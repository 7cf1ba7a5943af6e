"""Whoever refuses a request, Python or C++, refuses the same with the same words."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import RequestError, shown
from contracts.requests import MAX_BODY_BYTES, parse_request
from ensemble.native import Core, RefusedError
from tests.ensemble.test_triton import HOSTILE

MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: Integers beyond 64 bits are floats to the C++ parser, and a lone surrogate or a NaN is no JSON to it: both refuse
#: these, in other words.
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=140)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "user_id": TEXTS,
    "k": st.integers(-2, 104),
    "region": TEXTS,
    "exclude_ids": st.lists(TEXTS, max_size=5),
    "request_id": TEXTS,
    "deadline_ms": st.integers(-1, 10_010),
}
REQUESTS = st.fixed_dictionaries({}, optional={name: kind | VALUES for name, kind in FIELDS.items()}) | st.dictionaries(
    st.sampled_from([*FIELDS, "golden_row"]) | TEXTS, VALUES, max_size=4
)


def by_python(body: bytes) -> dict | str:
    try:
        request = parse_request(body)
    except RequestError as error:
        return str(error)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(request).items()}


def by_the_core(core: Core, body: bytes) -> dict | str:
    try:
        return core("parse", body=body.decode("latin-1"))
    except RefusedError as error:
        return str(error)


def alike(by_core: dict | str, by_oracle: dict | str) -> bool:
    """The same request, or refused by both, in whatever words."""
    return by_core == by_oracle or (isinstance(by_core, str) and isinstance(by_oracle, str))


@MANY
@given(REQUESTS | VALUES, st.booleans())
def test_any_json_is_taken_or_refused_alike(core: Core, document: object, escaped: bool) -> None:
    body = json.dumps(document, ensure_ascii=escaped).encode()
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
