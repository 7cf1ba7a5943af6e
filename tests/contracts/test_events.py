"""What an event may be, and how a wrong one is refused."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import EventError, TriremeError
from contracts.events import FIELDS, INTERACTIONS, LIMITS, EventType, Limits, Reason, avro_schema, validate
from tests.strategies import NOW_MS, json_values, raw_events

PURCHASE = {"event_id": "e1", "event_type": "purchase", "event_time": NOW_MS, "user_id": "u", "item_id": "i"}
IMPRESSION = PURCHASE | {"event_type": "impression", "position": 0}
UPDATE = {"event_id": "e", "event_type": "user_update", "event_time": NOW_MS, "user_id": "u", "attributes": {"a": "b"}}

#: name: raw, reason, field, words that the message must have
REFUSED: dict[str, tuple[Any, Reason, str, tuple[str, ...]]] = {
    "a list": ([], Reason.NOT_AN_OBJECT, "event", ("object", "list")),
    "null": (None, Reason.NOT_AN_OBJECT, "event", ("object", "NoneType")),
    "a string": ("purchase", Reason.NOT_AN_OBJECT, "event", ("object", "str")),
    "a misspelt field": (PURCHASE | {"user": "u"}, Reason.UNKNOWN_FIELD, "user", ("not a field", "'user_id'")),
    "a field of nobody's": (PURCHASE | {"zzz": 1}, Reason.UNKNOWN_FIELD, "zzz", ("known fields", "event_id")),
    "a field named by half a letter": (PURCHASE | {"\ud800": 1}, Reason.UNKNOWN_FIELD, r"\ud800", ("not a field",)),
    "a field of a long name": (PURCHASE | {"x" * 9999: 1}, Reason.UNKNOWN_FIELD, "x" * 64, ("not a field",)),
    "no id": (PURCHASE | {"event_id": None}, Reason.MISSING_FIELD, "event_id", ("required", "'purchase'")),
    "no type": ({"event_id": "e"}, Reason.MISSING_FIELD, "event_type", ("required",)),
    "no time": ({"event_id": "e", "event_type": "click"}, Reason.MISSING_FIELD, "event_time", ("required", "'click'")),
    "a purchase by nobody": (PURCHASE | {"user_id": None}, Reason.MISSING_FIELD, "user_id", ("required",)),
    "a purchase of nothing": (PURCHASE | {"item_id": None}, Reason.MISSING_FIELD, "item_id", ("required",)),
    "an impression without rank": (PURCHASE | {"event_type": "impression"}, Reason.MISSING_FIELD, "position", ()),
    "a rating without value": (PURCHASE | {"event_type": "rating"}, Reason.MISSING_FIELD, "value", ("'rating'",)),
    "an update of nothing": (UPDATE | {"attributes": None}, Reason.MISSING_FIELD, "attributes", ("'user_update'",)),
    "a number as id": (PURCHASE | {"user_id": 900}, Reason.WRONG_TYPE, "user_id", ("non-empty string", "900")),
    "an empty id": (PURCHASE | {"user_id": ""}, Reason.WRONG_TYPE, "user_id", ("non-empty string", "''")),
    "half a letter as id": (PURCHASE | {"user_id": "a\ud83d"}, Reason.WRONG_TYPE, "user_id", ("UTF-8", r"'a\ud83d'")),
    "a list as id": (PURCHASE | {"item_id": ["i"]}, Reason.WRONG_TYPE, "item_id", ("non-empty string", "a list")),
    "a time as text": (PURCHASE | {"event_time": "now"}, Reason.WRONG_TYPE, "event_time", ("integer", "'now'")),
    "a time of true": (PURCHASE | {"event_time": True}, Reason.WRONG_TYPE, "event_time", ("integer", "True")),
    "a broken time": (PURCHASE | {"event_time": 0.5}, Reason.WRONG_TYPE, "event_time", ("integer of 64 bits", "0.5")),
    "a time of NaN": (PURCHASE | {"event_time": math.nan}, Reason.WRONG_TYPE, "event_time", ("integer", "nan")),
    "an endless time": (PURCHASE | {"event_time": math.inf}, Reason.WRONG_TYPE, "event_time", ("integer", "inf")),
    "a time of 65 bits": (PURCHASE | {"event_time": 2**64}, Reason.WRONG_TYPE, "event_time", ("64 bits",)),
    "a time of 5000 digits": (PURCHASE | {"event_time": 10**5000}, Reason.WRONG_TYPE, "event_time", ("16610 bits",)),
    "a rank of 33 bits": (IMPRESSION | {"position": 2**32}, Reason.WRONG_TYPE, "position", ("32 bits",)),
    "a value of true": (PURCHASE | {"value": True}, Reason.WRONG_TYPE, "value", ("finite number", "True")),
    "a value of NaN": (PURCHASE | {"value": math.nan}, Reason.WRONG_TYPE, "value", ("finite number", "nan")),
    "a value beyond doubles": (PURCHASE | {"value": 10**400}, Reason.WRONG_TYPE, "value", ("finite", "1329 bits")),
    "attributes as list": (UPDATE | {"attributes": []}, Reason.WRONG_TYPE, "attributes", ("object of strings", "list")),
    "attributes of numbers": (UPDATE | {"attributes": {"a": 1}}, Reason.WRONG_TYPE, "attributes", ("string", "1")),
    "a type of nobody's": (PURCHASE | {"event_type": "buy"}, Reason.UNKNOWN_TYPE, "event_type", ("purchase", "'buy'")),
    "a long id": (PURCHASE | {"event_id": "x" * 129}, Reason.TOO_LONG, "event_id", ("128", "129")),
    "a long attribute": (UPDATE | {"attributes": {"a": "x" * 200}}, Reason.TOO_LONG, "attributes", ("128", "200")),
    "many attributes": (
        UPDATE | {"attributes": {str(i): "" for i in range(65)}},
        Reason.TOO_LONG,
        "attributes",
        ("64 entries", "65"),
    ),
    "a time in seconds": (PURCHASE | {"event_time": NOW_MS // 1000}, Reason.TIME_OUT_OF_RANGE, "event_time", ("now",)),
    "a negative time": (PURCHASE | {"event_time": -1}, Reason.TIME_OUT_OF_RANGE, "event_time", ("got -1",)),
    "a time to come": (
        PURCHASE | {"event_time": NOW_MS + LIMITS.max_ahead_ms + 1},
        Reason.TIME_OUT_OF_RANGE,
        "event_time",
        (str(NOW_MS),),
    ),
    "something returned": (PURCHASE | {"quantity": -1}, Reason.QUANTITY_OUT_OF_RANGE, "quantity", ("0 to 100", "-1")),
    "fuel": (PURCHASE | {"quantity": 13_000}, Reason.QUANTITY_OUT_OF_RANGE, "quantity", ("0 to 100", "13000")),
    "a negative value": (PURCHASE | {"value": -0.5}, Reason.NEGATIVE_VALUE, "value", ("0", "-0.5")),
    "a negative rank": (IMPRESSION | {"position": -1}, Reason.NEGATIVE_VALUE, "position", ("0", "-1")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_event_is_refused_with_reason_field_and_what_came(name: str) -> None:
    raw, reason, field, words = REFUSED[name]
    with pytest.raises(EventError) as caught:
        validate(raw, NOW_MS)
    assert (caught.value.code, caught.value.field) == (reason.value, field)
    message = str(caught.value)
    assert message.startswith(f"{field}: ")
    assert not [word for word in words if word not in message], message
    assert len(message) < 400 and message.isprintable(), "a message must fit a log line, whatever came"


#: Reasons that need more than the event itself: the ids seen, the rules of a data set, or the bytes of a record.
BEYOND_THE_EVENT = {
    Reason.DUPLICATE,
    Reason.NOT_ALLOWED,
    Reason.OUT_OF_RANGE,
    Reason.UNKNOWN_REFERENCE,
    Reason.OUT_OF_ORDER,
    Reason.UNDECODABLE,
}


def test_every_reason_that_an_event_itself_can_have_is_given_by_validate() -> None:
    given = {reason for _, reason, _, _ in REFUSED.values()}
    assert set(Reason) - given == BEYOND_THE_EVENT


@pytest.mark.parametrize("kind", EventType)
def test_an_event_of_the_required_fields_alone_is_accepted(kind: EventType) -> None:
    full = PURCHASE | {"event_type": kind.value, "position": 3, "value": 2, "attributes": {"a": ""}}
    needed = {field.name for field in FIELDS if kind in field.required_by}
    event = validate({name: full[name] for name in needed}, NOW_MS)
    assert {name for name, held in event.to_dict().items() if held is not None} == needed


def test_null_means_that_a_field_is_not_given() -> None:
    nulls = {field.name: None for field in FIELDS if field.name not in PURCHASE}
    assert validate(PURCHASE | nulls, NOW_MS) == validate(PURCHASE, NOW_MS)


def test_bounds_themselves_are_within_bounds() -> None:
    for change in (
        {"event_time": LIMITS.min_event_time},
        {"event_time": NOW_MS + LIMITS.max_ahead_ms},
        {"quantity": LIMITS.min_quantity},
        {"quantity": LIMITS.max_quantity},
        {"event_id": "x" * LIMITS.max_id_chars},
        {"value": 0},
        {"attributes": {str(i): "x" * LIMITS.max_id_chars for i in range(LIMITS.max_attributes)}},
    ):
        assert change.items() <= validate(PURCHASE | change, NOW_MS).to_dict().items()


def test_a_whole_float_is_an_integer_and_an_integer_is_a_value() -> None:
    event = validate(PURCHASE | {"event_time": float(NOW_MS), "quantity": 2.0, "value": 3}, NOW_MS)
    assert (event.event_time, event.quantity, event.value) == (NOW_MS, 2, 3.0)
    assert (type(event.event_time), type(event.quantity), type(event.value)) == (int, int, float)


def test_other_limits_can_be_given() -> None:
    validate(PURCHASE | {"quantity": 500}, NOW_MS, Limits(max_quantity=500))
    with pytest.raises(EventError, match="expected 0 to 2, got 3"):
        validate(PURCHASE | {"quantity": 3}, NOW_MS, Limits(max_quantity=2))


@given(raw_events())
def test_a_valid_event_survives_json_and_a_second_check(raw: dict[str, Any]) -> None:
    event = validate(raw, NOW_MS)
    again = validate(json.loads(json.dumps(event.to_dict())), NOW_MS)
    assert again == event
    assert {name: held for name, held in event.to_dict().items() if held is not None} == raw


@given(raw_events(), st.sampled_from([field.name for field in FIELDS]), json_values)
def test_whatever_a_field_holds_the_answer_is_an_event_or_an_event_error(raw: dict, name: str, held: Any) -> None:
    try:
        event = validate(raw | {name: held}, NOW_MS)
    except EventError as error:
        str(error).encode()
        assert error.code in {reason.value for reason in Reason}
    else:
        json.dumps(event.to_dict(), ensure_ascii=False, allow_nan=False).encode()


@given(json_values)
def test_whatever_comes_is_refused_by_an_error_of_our_own(raw: Any) -> None:
    with pytest.raises(TriremeError):
        validate(raw, NOW_MS)


def test_a_field_nested_to_the_limit_of_the_stack_is_refused_not_a_crash() -> None:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EventError, match="user_id: expected a non-empty string, got a list"):
        validate(PURCHASE | {"user_id": deep}, NOW_MS)
    while deep:  # a chain this long must be taken apart by hand: freeing it at once would recurse
        deep = deep.pop()


def test_the_avro_schema_lets_every_optional_field_be_absent() -> None:
    schema = avro_schema()
    assert [field["name"] for field in schema["fields"]] == [field.name for field in FIELDS]
    always = {"event_id", "event_type", "event_time"}
    for field in schema["fields"]:
        if field["name"] in always:
            assert isinstance(field["type"], str) and "default" not in field
        else:
            assert field["type"][0] == "null" and field["default"] is None
        assert field["doc"]
    json.dumps(schema)


@given(raw_events())
def test_a_valid_event_survives_avro(raw: dict[str, Any]) -> None:
    event = validate(raw, NOW_MS)
    schema, wire = fastavro.parse_schema(avro_schema()), io.BytesIO()
    fastavro.schemaless_writer(wire, schema, event.to_dict())
    wire.seek(0)
    assert validate(fastavro.schemaless_reader(wire, schema, None), NOW_MS) == event


def test_an_old_avro_reader_reads_an_event_without_the_new_optional_fields() -> None:
    now, wire = avro_schema(), io.BytesIO()
    old = now | {"fields": [field for field in now["fields"] if field["name"] not in ("release", "variant")]}
    fastavro.schemaless_writer(wire, fastavro.parse_schema(old), PURCHASE)
    wire.seek(0)
    read = fastavro.schemaless_reader(wire, fastavro.parse_schema(old), fastavro.parse_schema(now))
    assert validate(read, NOW_MS) == validate(PURCHASE, NOW_MS)


def test_interactions_are_done_by_a_user_to_an_item() -> None:
    needed = {field.name: field.required_by for field in FIELDS}
    assert needed["user_id"] >= INTERACTIONS and needed["item_id"] >= INTERACTIONS
    assert EventType.IMPRESSION not in INTERACTIONS, "what was shown is not what was wanted"
