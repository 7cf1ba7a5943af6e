"""What may be asked, and what is answered: hostile bodies included."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.errors import RequestError
from contracts.request_values import MAX_CATEGORIES, MAX_CONTEXT, MAX_EXCLUDED, MAX_ID_CHARS, MAX_PRICE
from contracts.requests import (
    DEFAULT_DEADLINE_MS,
    DEFAULT_K,
    MAX_BATCH,
    MAX_BODY_BYTES,
    MAX_DEADLINE_MS,
    MAX_K,
    Answer,
    CandidateFilter,
    Request,
    SimilarRequest,
    Source,
    check_request,
    check_similar,
    parse_body,
    parse_request,
    parse_similar,
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
    "a raw surrogate as user": (b'{"user_id":"\xed\xa0\x80"}', "body", ("JSON object",)),
    "another encoding": ('{"user_id":"u"}'.encode("utf-16"), "body", ("JSON object",)),
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
    "k of NaN": (b'{"user_id":"u","k":NaN}', "body", ("JSON object", "NaN")),
    "k of 300 digits": (b'{"user_id":"u","k":1' + b"0" * 300 + b"}", "k", ("1 to 100", "1e+300")),
    "k of 400 digits": (b'{"user_id":"u","k":1' + b"0" * 400 + b"}", "body", ("JSON object",)),
    "no region": (b'{"user_id":"u","region":null}', "region", ("string", "None")),
    "excluded text": (b'{"user_id":"u","exclude_ids":"a"}', "exclude_ids", ("list of at most 500", "'a'")),
    "excluded numbers": (b'{"user_id":"u","exclude_ids":[1]}', "exclude_ids", ("non-empty string", "1")),
    "excluded emptiness": (b'{"user_id":"u","exclude_ids":[""]}', "exclude_ids", ("non-empty string", "''")),
    "a number as request id": (b'{"user_id":"u","request_id":7}', "request_id", ("string", "7")),
    "no time": (b'{"user_id":"u","deadline_ms":0}', "deadline_ms", ("1 to 10000", "got 0")),
    "an hour": (b'{"user_id":"u","deadline_ms":3600000}', "deadline_ms", ("1 to 10000", "3600000")),
    "no user and no anonymous one": (b'{"anonymous_id":""}', "user_id", ("non-empty string", "None")),
    "null beside an anonymous user": (b'{"anonymous_id":"a","user_id":null}', "user_id", ("string", "None")),
    "a list as context": (b'{"user_id":"u","context":["a"]}', "context", ("at most 16 names", "a list")),
    "a nest in context": (b'{"user_id":"u","context":{"a":{}}}', "context", ("strings, numbers", "a dict")),
    "a context without a name": (b'{"user_id":"u","context":{"":1}}', "context", ("non-empty string",)),
    "too much context": (
        json.dumps({"user_id": "u", "context": {str(i): i for i in range(17)}}).encode(),
        "context",
        ("at most 16", "17"),
    ),
    "a filter of text": (b'{"user_id":"u","candidate_filter":"x"}', "candidate_filter", ("JSON object", "'x'")),
    "a filter by colour": (b'{"user_id":"u","candidate_filter":{"colour":1}}', "colour", ("category, price_min",)),
    "a category of text": (
        b'{"user_id":"u","candidate_filter":{"category":"x"}}',
        "candidate_filter.category",
        ("at most 100 categories", "'x'"),
    ),
    "a price below nothing": (
        b'{"user_id":"u","candidate_filter":{"price_min":-1}}',
        "candidate_filter.price_min",
        ("number from 0", "-1"),
    ),
    "prices the wrong way": (
        b'{"user_id":"u","candidate_filter":{"price_min":2,"price_max":1}}',
        "candidate_filter.price_max",
        ("at least price_min, 2.0", "1.0"),
    ),
    "availability of 1": (
        b'{"user_id":"u","candidate_filter":{"available":1}}',
        "candidate_filter.available",
        ("true or false", "1"),
    ),
    "too diverse": (b'{"user_id":"u","diversity":1.5}', "diversity", ("number from 0 to 1", "1.5")),
    "diversity of true": (b'{"user_id":"u","diversity":true}', "diversity", ("number", "True")),
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
    assert parse_similar(b'{"item_id":"7"}') == SimilarRequest("7", DEFAULT_K, "", (), "", DEFAULT_DEADLINE_MS)


def test_an_anonymous_id_stands_in_for_a_user() -> None:
    request = parse_request(b'{"anonymous_id":"cookie-7"}')
    assert (request.user_id, request.answered_id) == ("", "cookie-7")
    assert parse_request(b'{"anonymous_id":"cookie-7","user_id":"900"}').answered_id == "900"


def test_of_two_fields_of_one_name_the_last_counts() -> None:
    assert parse_request(b'{"user_id":"u","k":500,"k":5}').k == 5


LONG = "\U0001f6f6" * MAX_ID_CHARS
LARGEST = Request(
    user_id=LONG,
    k=MAX_K,
    region=LONG,
    exclude_ids=(LONG,) * MAX_EXCLUDED,
    request_id=LONG,
    deadline_ms=MAX_DEADLINE_MS,
    anonymous_id=LONG,
    device=LONG,
    session_id=LONG,
    context={f"{i:02}{LONG[2:]}": LONG for i in range(MAX_CONTEXT)},
    candidate_filter=CandidateFilter((LONG,) * MAX_CATEGORIES, 0.5, MAX_PRICE, False),
    diversity=0.123456789,
)


def test_the_largest_request_is_accepted() -> None:
    body = json.dumps(dataclasses.asdict(LARGEST)).encode()
    assert 950_000 < len(body) < MAX_BODY_BYTES
    assert parse_request(body) == LARGEST


def test_a_request_is_written_without_what_goes_without_saying() -> None:
    assert Request("u").to_document() == {"user_id": "u"}
    assert Request("u", candidate_filter=CandidateFilter(available=False)).to_document() == {
        "user_id": "u",
        "candidate_filter": {"available": False},
    }
    assert check_request(LARGEST.to_document()) == LARGEST
    similar = SimilarRequest("7", k=3, exclude_ids=("8",))
    assert check_similar(similar.to_document()) == similar


def test_a_batch_holds_requests_and_refusals_in_their_order() -> None:
    found = parse_body(b'{"requests":[{"user_id":"a"},{"user_id":"b","k":0},{"anonymous_id":"c"},7]}')
    assert isinstance(found, list)
    assert [found[0], found[2]] == [Request("a"), Request("", anonymous_id="c")]
    assert [str(found[1]), str(found[3])] == [
        "k: expected an integer from 1 to 100, got 0",
        "body: expected a JSON object, got int",
    ]
    assert parse_body(b'{"user_id":"a"}') == Request("a")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"requests": []}, "requests: expected a list of 1 to 256 requests, got 0"),
        ({"requests": [{"user_id": "a"}] * (MAX_BATCH + 1)}, "requests: expected a list of 1 to 256 requests, got 257"),
        ({"requests": {"user_id": "a"}}, "requests: expected a list of 1 to 256 requests, got a dict"),
        ({"requests": [{"user_id": "a"}], "k": 5}, "k: is not a field of a batch; known fields: requests"),
    ],
)
def test_a_batch_that_is_none_is_refused_as_a_whole(held: object, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        parse_body(json.dumps(held).encode())


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


FIELDS = [field.name for field in dataclasses.fields(Request)]


@given(st.sampled_from([*FIELDS, "other"]), json_values)
def test_whatever_a_field_holds_the_request_can_be_sent_on(field: str, held: Any) -> None:
    try:
        request = check_request({"user_id": "u"} | {field: held})
    except RequestError as error:
        str(error).encode()
    else:
        json.dumps(request.to_document(), ensure_ascii=False, allow_nan=False).encode()


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
