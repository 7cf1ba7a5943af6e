"""What the lake writer lets through is what the contract accepts, event by event; the quick look misses nothing."""

import dataclasses

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import EventError
from contracts.events import LIMITS, Event, EventType, validate
from streaming.codec import encode
from streaming.lake import LIVE_SCHEMA
from streaming.lake_writer import Buffer
from streaming.refusals import refused
from tests.strategies import NOW_MS, raw_events

WIDE = pa.schema([field.with_type(pa.int64()) if field.type == pa.int32() else field for field in LIVE_SCHEMA])

#: A quantity of 2**31 - 1 and what follows it, at the end of a record.
MOST = b"\x02\xfe\xff\xff\xff\x0f\0\0\0"

texts = st.sampled_from(["", "a", "é" * 64, "é" * 128, "é" * 129, "x" * 128, "x" * 129, "click", "purchase"])
longs = st.sampled_from(
    [-(2**63), -(2**31) - 1, -1, 0, 1, 100, 101, 2**31 - 1, 2**31, LIMITS.min_event_time, LIMITS.min_event_time - 1,
     NOW_MS, NOW_MS + LIMITS.max_ahead_ms, NOW_MS + LIMITS.max_ahead_ms + 1, 2**63 - 1]
)  # fmt: skip
doubles = st.sampled_from([0.0, -0.0, -1e-300, 1.5, float("inf"), float("-inf"), float("nan")])
maps = st.dictionaries(texts, texts, max_size=3) | st.just({str(n): "" for n in range(65)})
BY_KIND = {"event_time": longs, "position": st.none() | longs, "quantity": st.none() | longs,
           "value": st.none() | doubles, "attributes": st.none() | maps}  # fmt: skip


@st.composite
def decoded(draw):
    """An event as bytes of a known schema may decode to: a good one with some fields replaced by any of their type."""
    event = validate(draw(raw_events()), NOW_MS)
    required = {"event_id", "event_type", "event_time"}
    names = draw(st.sets(st.sampled_from([field.name for field in dataclasses.fields(Event)]), max_size=2))
    for name in names:
        values = BY_KIND.get(name, texts if name in required else st.none() | texts)
        event = dataclasses.replace(event, **{name: draw(values)})
    return event


def verdict(event):
    try:
        validate(event.to_dict(), NOW_MS)
    except EventError as error:
        return error.code
    return None


def columns(events):
    rows = [event.to_dict() for event in events]
    made = {name: [row.get(name) for row in rows] for name in WIDE.names}
    made["attributes"] = [None if each is None else list(each.items()) for each in made["attributes"]]
    return pa.table(made, schema=WIDE)


@given(st.lists(decoded(), max_size=6))
def test_exactly_the_events_that_the_contract_refuses_are_found_with_its_reason(events):
    found = {row: error.code for row, error in refused(events, columns(events), NOW_MS)}
    assert found == {row: verdict(event) for row, event in enumerate(events) if verdict(event)}


@pytest.mark.parametrize("kind", EventType)
def test_an_event_that_lacks_what_its_type_needs_is_found(kind):
    bare = Event(event_id="e", event_type=kind.value, event_time=NOW_MS)
    ((row, error),) = refused([bare], columns([bare]), NOW_MS)
    assert (row, error.code) == (0, "missing_field")


def test_a_buffer_gives_each_record_to_one_side_and_keeps_the_bytes_of_those_it_refuses():
    good = validate(
        {"event_id": "a", "event_type": "click", "event_time": NOW_MS, "user_id": "u", "item_id": "i"}, NOW_MS
    )
    many = dataclasses.replace(good, quantity=2**31 - 1)
    late = dataclasses.replace(good, event_time=NOW_MS * 2)
    buffer = Buffer(2, "0" * 32)
    assert encode(many).endswith(MOST)
    more = encode(many).removesuffix(MOST) + b"\x02\x80\x80\x80\x80\x80\x40\0\0\0"  # 2**40: no int of 32 bits
    values = [encode(good), b"no event", encode(many), None, encode(good), encode(late), more]
    for offset, value in enumerate(values, 100):
        buffer.take(offset, value)
    events, out = buffer.split(NOW_MS)
    assert events.schema == LIVE_SCHEMA and events["offset"].to_pylist() == [100, 104]
    assert [(row.offset, row.reason, row.value) for row in out] == [
        (101, "undecodable", b"no event"),
        (102, "quantity_out_of_range", values[2]),
        (103, "undecodable", None),
        (105, "time_out_of_range", values[5]),
        (106, "wrong_type", more),
    ]
    assert "expected 0 to 100" in out[1].rule and "zero byte" in out[0].rule
