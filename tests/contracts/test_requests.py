"""What may be asked, and what is answered: hostile bodies included."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.errors import RequestError
from contracts.requests import (
    DEFAULT_DEADLINE_MS,
    DEFAULT_K,
    MAX_BODY_BYTES,
    MAX_DEADLINE_MS,
    MAX_EXCLUDED,
    MAX_ID_CHARS,
    MAX_K,
    Answer,
    Request,
    Source,
    check_request,
    parse_request,
)
from tests.strategies import ids, json_values

#: name: body, field, words that the message must have
REFUSED: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
    "nothing": (b"", "body", ("JSON object",)),
    "no JSON": (b"user_id=900", "body", ("JSON object", "user_id=900")),
    "no UTF-8": (b'{"user_id":"\xff"}', "body", ("JSON object",)),
    "a list": (b"[]", "body", ("JSON object", "list")),
    "null": (b"null", "body", ("JSON object", "NoneType")),
    "two documents": (b"{}{}", "body", ("JSON object",)),
    "nested beyond the stack": (b"[" * 100_000 + b"]" * 100_000, "body", ("JSON object",)),
    "an open nest": (b'{"user_id":' * 50_000, "body", ("JSON object",)),
    "a number of 5000 digits": (b'{"user_id":"u","k":1' + b"0" * 5000 + b"}", "body", ("JSON object",)),
    "no user": (b"{}", "user_id", ("non-empty string", "None")),
    "an empty user": (b'{"user_id":""}', "user_id", ("non-empty string", "''")),
    "a number as user": (b'{"user_id":900}', "user_id", ("non-empty string", "900")),
    "a nest as user": (b'{"user_id":' + b"[" * 300 + b"]" * 300 + b"}", "user_id", ("non-empty string", "a list")),
    "half a letter as user": (b'{"user_id":"\\ud800"}', "user_id", ("printable", r"'\ud800'")),
    "a raw surrogate as user": (b'{"user_id":"\xed\xa0\x80"}', "user_id", ("printable",)),
    "a line break as user": (b'{"user_id":"a\\nb"}', "user_id", ("printable", r"'a\nb'")),
    "a NUL as user": (b'{"user_id":"a\\u0000"}', "user_id", ("printable",)),
    "a long user": (json.dumps({"user_id": "x" * 129}).encode(), "user_id", ("128", "129")),
    "a field of nobody's": (b'{"user_id":"u","limit":5}', "limit", ("not a field", "user_id, k, region")),
    "a field of half a letter": (b'{"user_id":"u","\\ud800":5}', r"\ud800", ("not a field",)),
    "no items": (b'{"user_id":"u","k":0}', "k", ("1 to 100", "got 0")),
    "all items": (b'{"user_id":"u","k":101}', "k", ("1 to 100", "got 101")),
    "a broken k": (b'{"user_id":"u","k":5.5}', "k", ("integer", "5.5")),
    "k as text": (b'{"user_id":"u","k":"5"}', "k", ("integer", "'5'")),
    "k of true": (b'{"user_id":"u","k":true}', "k", ("integer", "True")),
    "k of NaN": (b'{"user_id":"u","k":NaN}', "k", ("integer", "nan")),
    "k of 400 digits": (b'{"user_id":"u","k":1' + b"0" * 400 + b"}", "k", ("1 to 100", "1329 bits")),
    "no region": (b'{"user_id":"u","region":null}', "region", ("string", "None")),
    "excluded text": (b'{"user_id":"u","exclude_ids":"a"}', "exclude_ids", ("list of at most 500", "'a'")),
    "excluded numbers": (b'{"user_id":"u","exclude_ids":[1]}', "exclude_ids", ("non-empty string", "1")),
    "excluded emptiness": (b'{"user_id":"u","exclude_ids":[""]}', "exclude_ids", ("non-empty string", "''")),
    "a number as request id": (b'{"user_id":"u","request_id":7}', "request_id", ("string", "7")),
    "no time": (b'{"user_id":"u","deadline_ms":0}', "deadline_ms", ("1 to 10000", "got 0")),
    "an hour": (b'{"user_id":"u","deadline_ms":3600000}', "deadline_ms", ("1 to 10000", "3600000")),
    "a book": (b" " * (MAX_BODY_BYTES + 1), "body", (f"at most {MAX_BODY_BYTES}", f"{MAX_BODY_BYTES + 1}")),
    "too much excluded": (
        json.dumps({"user_id": "u", "exclude_ids": ["i"] * 501}).encode(),
        "exclude_ids",
        ("at most 500", "501"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_body_is_refused_with_field_and_what_came(name: str) -> None:
    body, field, words = REFUSED[name]
    with pytest.raises(RequestError) as caught:
        parse_request(body)
    assert caught.value.field == field
    message = str(caught.value)
    assert message.startswith(f"{field}: ")
    assert not [word for word in words if word not in message], message
    assert len(message) < 300 and message.isprintable(), "a message must fit a header and a log line, whatever came"


def test_the_shortest_request_gets_the_defaults() -> None:
    assert parse_request(b'{"user_id":"900"}') == Request("900", DEFAULT_K, "", (), "", DEFAULT_DEADLINE_MS)


def test_the_largest_request_is_accepted() -> None:
    long = "ü" * MAX_ID_CHARS
    full = Request(long, MAX_K, long, (long,) * MAX_EXCLUDED, long, MAX_DEADLINE_MS)
    body = json.dumps(full.__dict__).encode()
    assert parse_request(body) == full


@given(ids, st.integers(1, MAX_K), ids | st.just(""), st.lists(ids, max_size=3))
def test_a_valid_request_is_read_as_it_was_written(user: str, k: int, region: str, excluded: list[str]) -> None:
    raw = {"user_id": user, "k": k, "region": region, "exclude_ids": excluded}
    for body in (json.dumps(raw).encode(), json.dumps(raw, ensure_ascii=False).encode()):
        assert parse_request(body) == Request(user, k, region, tuple(excluded))


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf{}")
@example(b"\x00")
@example(b'{"user_id":1e999}')
def test_any_bytes_are_a_request_or_a_request_error(body: bytes) -> None:
    try:
        parse_request(body)
    except RequestError as error:
        str(error).encode()


@given(json_values)
def test_any_value_is_a_request_or_a_request_error(raw: Any) -> None:
    with pytest.raises(RequestError):
        check_request(raw)


@given(st.sampled_from(["user_id", "k", "region", "exclude_ids", "request_id", "deadline_ms", "other"]), json_values)
def test_whatever_a_field_holds_the_request_can_be_sent_on(field: str, held: Any) -> None:
    try:
        request = check_request({"user_id": "u"} | {field: held})
    except RequestError as error:
        str(error).encode()
    else:
        json.dumps(request.__dict__, ensure_ascii=False, allow_nan=False).encode()


def answer(**changes: Any) -> Answer:
    held = {
        "request_id": "r",
        "user_id": "900",
        "item_ids": ("a", "b"),
        "scores": (0.9, 0.1),
        "sources": (Source.PERSONAL, Source.TRENDING),
        "release": "20240101-abc",
        "variant": "",
        "feature_age_ms": 40,
        "skipped": ({"stage": "ranker", "reason": "deadline"},),
    }
    return Answer(**(held | changes))


def test_an_answer_is_one_line_of_json_with_every_field() -> None:
    body = answer().to_json()
    assert json.loads(body) == {
        "request_id": "r",
        "user_id": "900",
        "item_ids": ["a", "b"],
        "scores": [0.9, 0.1],
        "sources": ["personal", "trending"],
        "release": "20240101-abc",
        "variant": "",
        "feature_age_ms": 40,
        "skipped": [{"stage": "ranker", "reason": "deadline"}],
    }
    assert b"\n" not in body and b": " not in body


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_json_cannot_say_is_not_sent(score: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        answer(scores=(score, 0.1)).to_json()


def test_an_id_of_any_letters_comes_back_as_it_went_in() -> None:
    for text in ("été", "\U0001f6f6", 'a"b\\c', "日本"):
        assert json.loads(answer(user_id=text).to_json())["user_id"] == text
