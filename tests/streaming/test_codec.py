"""Events survive the wire, in this version and in every one before."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event, validate
from streaming import codec
from streaming.__main__ import main
from tests.strategies import NOW_MS, raw_events

#: A record as version 1 wrote it on 2026-11-23; it must be readable for ever.
V1_BYTES = bytes.fromhex(
    "000000000104653110707572636861736580f8e8afcf66020475310204693702047331000204723500000200000000000004400206000000"
)
V1_EVENT = Event(
    event_id="e1",
    event_type="purchase",
    event_time=1_763_000_000_000,
    user_id="u1",
    item_id="i7",
    session_id="s1",
    region="r5",
    value=2.5,
    quantity=3,
)


@given(raw_events())
def test_every_valid_event_comes_back_as_it_was(raw):
    event = validate(raw, NOW_MS)
    assert codec.decode(codec.encode(event)) == event


def test_records_of_version_1_stay_readable():
    assert codec.decode(V1_BYTES) == V1_EVENT


def test_the_wire_format_is_confluents():
    event = validate({"event_id": "a", "event_type": "user_update", "event_time": NOW_MS, "user_id": "u",
                      "attributes": {"age": "9"}}, NOW_MS)  # fmt: skip
    assert struct.unpack_from(">bI", codec.encode(event)) == (0, codec.SCHEMA_ID)


def test_the_committed_schema_is_the_contracts(capsys):
    assert main(["schemas", "--check"]) == 0
    assert '"written": false' in capsys.readouterr().out


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\0\0\0\0\1" + tail))
def test_bytes_of_any_or_of_a_known_schema_are_an_event_or_undecodable_and_nothing_else(data):
    try:
        event = codec.decode(data)
    except codec.UndecodableError:
        return
    assert isinstance(event, Event)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "at least 5 bytes"),
        (b"\0\0", "at least 5 bytes"),
        (b"\1\0\0\0\1abc", "zero byte"),
        (b"\0\0\0\0\x63abc", "got 99"),
        (V1_BYTES[:-4], "do not fit schema 1"),
        (V1_BYTES + b"x", "1 bytes are left over"),
    ],
)
def test_an_undecodable_record_says_why(data, reason):
    with pytest.raises(codec.UndecodableError, match=reason):
        codec.decode(data)
