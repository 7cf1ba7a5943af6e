"""Feast's bytes by hand: known values of each type, every value back as it was, and broken bytes named as such."""

import contextlib
import struct

import pytest
from google.protobuf.wrappers_pb2 import Int64Value
from hypothesis import given
from hypothesis import strategies as st

from contracts import online_layout as layout
from contracts.features import Feature, FeatureView, ValueType, user_behaviour
from tests.strategies import settings, texts

INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = {
    ValueType.STRING: texts | st.just(""),
    ValueType.INT64: INT64,
    ValueType.STRING_LIST: st.lists(texts | st.just("") | st.text("ab\n\x07\x0a", max_size=12), max_size=80),
    ValueType.INT64_LIST: st.lists(INT64, max_size=80),
    ValueType.DOUBLE_LIST: st.lists(st.floats(allow_nan=False), max_size=80),
}
ANY_VALUE = st.sampled_from(list(ValueType)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("a", 0x3C2569B2), ("ab", 0x9BBFD75F), ("abc", 0xB3DD93FA), ("abcd", 0x43ED676A)],
)
def test_murmur3_has_the_published_values(text, expected):
    assert layout.murmur3(text.encode()) == expected


def test_a_key_is_join_key_value_and_project():
    key = layout.row_key("trireme", "user_id", "häuser")
    assert key == b"\2\0\0\0user_id" + b"\2\0\0\0" + b"\7\0\0\0" + "häuser".encode() + b"trireme"


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (ValueType.STRING, "abc", b"\x12\x03abc"),
        (ValueType.STRING, "", b"\x12\x00"),
        (ValueType.INT64, 0, b"\x20\x00"),
        (ValueType.INT64, 300, b"\x20\xac\x02"),
        (ValueType.INT64, -1, b"\x20" + b"\xff" * 9 + b"\x01"),
        (ValueType.STRING_LIST, ["a", ""], b"\x62\x05\x0a\x01a\x0a\x00"),
        (ValueType.INT64_LIST, [1, -1, 300], b"\x72\x0f\x0a\x0d\x01" + b"\xff" * 9 + b"\x01\xac\x02"),
        (ValueType.DOUBLE_LIST, [1.0], b"\x7a\x0a\x0a\x08" + struct.pack("<d", 1.0)),
        (ValueType.DOUBLE_LIST, [], b"\x7a\x00"),
        (ValueType.INT64, None, b""),
    ],
)
def test_values_have_the_bytes_that_protobuf_gives_them(kind, value, expected):
    assert layout.encode_value(kind, value) == expected


@given(ANY_VALUE)
def test_every_value_comes_back_as_it_was(pair):
    kind, value = pair
    assert layout.decode_value(kind, layout.encode_value(kind, value)) == value


@pytest.mark.parametrize("size", [64, 2000])
@pytest.mark.parametrize("make", [lambda n: str(n * 7919), lambda n: "x" * (n % 40), lambda n: "n" * 10, lambda n: "é"])
def test_long_lists_of_ids_come_back_whatever_their_lengths(size, make):
    ids = [make(n) for n in range(size)]
    assert layout.decode_value(ValueType.STRING_LIST, layout.encode_value(ValueType.STRING_LIST, ids)) == ids


@given(settings, st.data())
def test_a_row_comes_back_and_what_is_missing_is_the_default(features, data):
    view = user_behaviour(features)
    row = {feature.name: data.draw(VALUES[feature.kind]) for feature in view.features}
    written = layout.encode(view, row, 1_700_000_000_999)
    assert layout.decode(view, [written[name] for name in layout.fields(view)]) == row
    missing = data.draw(st.sets(st.sampled_from([feature.name for feature in view.features])))
    values = [
        None if feature.name in missing else written[name] for feature, name in zip(view.features, layout.fields(view))
    ]
    expected = {f.name: f.default if f.name in missing else row[f.name] for f in view.features}
    assert layout.decode(view, values) == expected


def test_the_rows_time_is_whole_seconds_and_none_for_never():
    view = FeatureView("v", "user_id", True, 2, (Feature("n", ValueType.INT64, "", 0),))
    assert layout.encode(view, {"n": 1}, 300_999)[b"_ts:v_v2"] == b"\x08\xac\x02"
    assert layout.encode(view, {"n": 1}, 0)[b"_ts:v_v2"] == b""


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (ValueType.STRING, b"\x20\x01"),
        (ValueType.STRING, b"\x12\x05ab"),
        (ValueType.INT64, b"\x20\xff"),
        (ValueType.INT64, b"\x20" + b"\xff" * 10 + b"\x01"),
        (ValueType.STRING_LIST, b"\x62\x03\x0a\x05a"),
        (ValueType.STRING_LIST, b"\x62\x03\x0b\x01a"),
        (ValueType.STRING_LIST, b"\x62\x04\x0a\x05\xc3\xa4"),
        (ValueType.INT64_LIST, b"\x72\x03\x0a\x01\xff"),
        (ValueType.DOUBLE_LIST, b"\x7a\x05\x0a\x03abc"),
    ],
)
def test_bytes_of_another_type_are_named_as_such(kind, data):
    with pytest.raises(ValueError, match=f"expected Feast's bytes of a {kind.value}, got"):
        layout.decode_value(kind, data)


def test_a_number_of_more_than_64_bits_is_cut_as_protobuf_cuts_it():
    number = b"\xff" * 9 + b"\x7f"
    assert layout.decode_value(ValueType.INT64, b"\x20" + number) == -1
    assert Int64Value.FromString(b"\x08" + number).value == -1


@given(st.sampled_from(list(ValueType)), st.binary(min_size=1, max_size=60), st.booleans())
def test_no_bytes_break_a_reader_but_by_a_value_error(kind, data, tagged):
    tag = layout.encode_value(kind, 0 if kind is ValueType.INT64 else "")[:1]
    with contextlib.suppress(ValueError):
        layout.decode_value(kind, tag + data if tagged else data)
