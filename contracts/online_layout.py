"""How a row lies in Redis: Feast's layout, read and written without Feast.

Feast 0.49, ``entity_key_serialization_version: 2``. One hash a user holds the rows of all views: a field is the murmur3
of ``<view>:<feature>``, its value the bytes of Feast's protobuf ``Value``, and ``_ts:<view>`` the row's time. The
processor writes it, ``feature_lookup`` reads it some ten times faster than the SDK, and a golden test holds both to
Feast's own bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from contracts.features import FeatureView, ValueType

#: Feast's ``project`` of Trireme: part of every key.
PROJECT = "trireme"
#: Feast's number of a STRING entity key.
_STRING = struct.pack("<I", 2)
_WIRE_VARINT, _WIRE_BYTES = 0, 2
#: Number of the field of Feast's ``Value`` message that holds each type.
_FIELD_NUMBER = {
    ValueType.STRING: 2,
    ValueType.INT64: 4,
    ValueType.STRING_LIST: 12,
    ValueType.INT64_LIST: 14,
    ValueType.DOUBLE_LIST: 15,
}
_TAG = {
    kind: bytes([number << 3 | (_WIRE_VARINT if kind is ValueType.INT64 else _WIRE_BYTES)])
    for kind, number in _FIELD_NUMBER.items()
}
#: Tag of ``repeated val = 1`` inside a list message: length-delimited, for strings and for packed numbers.
_VAL = b"\x0a"
_MASK32, _MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
#: Of the longest number that protobuf writes.
_VARINT_BYTES = 10
#: Lists of strings longer than this (bytes) are cut by numpy: 2,000 ids in 65 us instead of 190 us.
_LONG_LIST = 400


def row_key(project: str, entity: str, value: str) -> bytes:
    """The Redis key of the hash that holds all rows of an entity: its join key, its value, and the project."""
    text = value.encode()
    return b"".join((_STRING, entity.encode(), _STRING, struct.pack("<I", len(text)), text, project.encode()))


@cache
def field(view_name: str, feature: str) -> bytes:
    """The hash field of a feature: murmur3 (x86, 32 bits, seed 0) of ``<view>:<feature>``, little-endian."""
    return struct.pack("<I", murmur3(f"{view_name}:{feature}".encode()))


def timestamp_field(view_name: str) -> bytes:
    """The hash field of the row's time."""
    return b"_ts:" + view_name.encode()


def fields(view: FeatureView) -> list[bytes]:
    """What to HMGET for one row: the fields of the view's features, in their order."""
    name = view.qualified_name
    return [field(name, feature.name) for feature in view.features]


def encode(view: FeatureView, row: Mapping[str, Any], event_time_ms: int) -> dict[bytes, bytes]:
    """A row as hash fields, the time's among them (whole seconds, as Feast writes it).

    Args:
        view: whose row it is.
        row: every feature of the view by name; None is Feast's null.
        event_time_ms: the instant of which the row holds.
    """
    name = view.qualified_name
    written = {field(name, feature.name): encode_value(feature.kind, row[feature.name]) for feature in view.features}
    seconds = event_time_ms // 1000
    written[timestamp_field(name)] = b"\x08" + _varint(seconds) if seconds else b""
    return written


def decode(view: FeatureView, values: Sequence[bytes | None]) -> dict[str, Any]:
    """A row from the values of ``fields(view)``, in that order; what is missing or null is the feature's default.

    Raises:
        ValueError: when a value's bytes are not those of the feature's type.
    """
    return {
        feature.name: decode_value(feature.kind, value) if value else feature.default
        for feature, value in zip(view.features, values)
    }


def encode_value(kind: ValueType, value: Any) -> bytes:
    """The bytes of Feast's ``Value`` message."""
    if value is None:
        return b""
    if kind is ValueType.INT64:
        return _TAG[kind] + _varint(value)
    if kind is ValueType.STRING:
        text = value.encode()
        return _TAG[kind] + _varint(len(text)) + text
    if kind is ValueType.STRING_LIST:
        parts = []
        for item in value:
            text = item.encode()
            parts += (_VAL, _varint(len(text)), text)
        inner = b"".join(parts)
    else:
        packed = _packed_integers(value) if kind is ValueType.INT64_LIST else struct.pack(f"<{len(value)}d", *value)
        inner = _VAL + _varint(len(packed)) + packed if packed else b""
    return _TAG[kind] + _varint(len(inner)) + inner


def decode_value(kind: ValueType, data: bytes) -> Any:
    """The inverse of ``encode_value``: a str, an int, or a list of str, int or float.

    Raises:
        ValueError: when the bytes are not those of ``kind``.
    """
    try:
        if data[:1] != _TAG[kind]:
            raise ValueError(f"its tag is {data[:1]!r}")
        number, start = _read_varint(data, 1)
        if kind is ValueType.INT64:
            return number - (1 << 64) if number >> 63 else number
        if start + number != len(data):
            raise ValueError(f"{len(data) - start} bytes follow instead of {number}")
        return _PAYLOAD[kind](data[start:])
    except (ValueError, IndexError, struct.error) as error:
        raise ValueError(
            f"expected Feast's bytes of a {kind.value}, got {data[:24]!r}: {error}; "
            "was the row written by another version of the view?"
        ) from None


def murmur3(data: bytes) -> int:
    """MurmurHash3 x86_32 with seed 0, as an unsigned integer."""
    whole = len(data) // 4 * 4
    state = 0
    for (block,) in struct.iter_unpack("<I", data[:whole]):
        state ^= _scrambled(block)
        state = (_rotated(state, 13) * 5 + 0xE6546B64) & _MASK32
    if len(data) > whole:
        state ^= _scrambled(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    state = ((state ^ state >> 16) * 0x85EBCA6B) & _MASK32
    state = ((state ^ state >> 13) * 0xC2B2AE35) & _MASK32
    return state ^ state >> 16


def _scrambled(block: int) -> int:
    return (_rotated((block * 0xCC9E2D51) & _MASK32, 15) * 0x1B873593) & _MASK32


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK32


def _varint(value: int) -> bytes:
    """A base-128 integer; a negative one as its 64-bit two's complement, ten bytes long."""
    value &= _MASK64
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The integer at ``start``, 64 bits without a sign, and where it ends; as protobuf, which drops what is beyond."""
    number = 0
    for end in range(start, start + _VARINT_BYTES):
        number |= (data[end] & 127) << 7 * (end - start)
        if data[end] < 128:
            return number & _MASK64, end + 1
    raise ValueError(f"a number has more than {_VARINT_BYTES} bytes")


def _packed_integers(values: Sequence[int]) -> bytes:
    return b"".join([_varint(int(value)) for value in values])


def _text(payload: bytes) -> str:
    return str(payload, "utf-8")


def _strings(payload: bytes) -> list[str]:
    """The strings of ``repeated string val = 1``."""
    if not payload.isascii():
        return _strings_one_by_one(payload)
    if len(payload) > _LONG_LIST:
        found = _strings_at_once(payload)
        if found is not None:
            return found
    text = str(payload, "ascii")  # no byte above 127: every length is one byte, and offsets of text and bytes agree
    out, start, end = [], 0, len(payload)
    while start < end:
        stop = start + 2 + payload[start + 1]
        if payload[start] != 10 or stop > end:
            raise ValueError(f"no string starts at byte {start}")
        out.append(text[start + 2 : stop])
        start = stop
    return out


def _strings_at_once(payload: bytes) -> list[str] | None:
    """As ``_strings``, for ids without newlines: the tag is a newline, so the text splits at it.

    None when a length or a string holds a newline too; that each length is the distance to the next tag proves the cut.
    """
    buffer = np.frombuffer(payload, np.uint8)
    tags = np.flatnonzero(buffer == 10)
    lengths = np.diff(tags, append=len(buffer)) - 2
    if tags[0] != 0 or lengths[-1] < 0 or not np.array_equal(buffer[tags + 1], lengths):
        return None
    buffer = buffer.copy()
    buffer[tags + 1] = 10
    return str(buffer.tobytes(), "ascii").split("\n\n")[1:]


def _strings_one_by_one(payload: bytes) -> list[str]:
    out, start = [], 0
    while start < len(payload):
        length, begin = _read_varint(payload, start + 1)
        start, tag = begin + length, payload[start]
        if tag != 10 or start > len(payload):
            raise ValueError(f"no string starts before byte {begin}")
        out.append(str(payload[begin:start], "utf-8"))
    return out


def _packed(payload: bytes) -> bytes:
    """The bytes of ``repeated ... val = 1 [packed]``."""
    if payload[:1] != _VAL:
        raise ValueError("its numbers are not packed")
    length, start = _read_varint(payload, 1)
    if start + length != len(payload):
        raise ValueError(f"{len(payload) - start} bytes of numbers follow instead of {length}")
    return payload[start:]


def _integers(payload: bytes) -> list[int]:
    """All varints at once: seven bits of each byte, shifted by its place within its number."""
    if not payload:
        return []
    buffer = np.frombuffer(_packed(payload), np.uint8)
    ends = np.flatnonzero(buffer < 128)
    if not len(ends) or ends[-1] != len(buffer) - 1:
        raise ValueError("its last number is cut off")
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    place = np.arange(len(buffer)) - np.repeat(starts, ends - starts + 1)
    bits = (buffer & 127).astype(np.uint64) << (place * 7).astype(np.uint64)
    return np.bitwise_or.reduceat(bits, starts).view(np.int64).tolist()


def _doubles(payload: bytes) -> list[float]:
    return np.frombuffer(_packed(payload), "<f8").tolist() if payload else []


_PAYLOAD: dict[ValueType, Callable[[bytes], Any]] = {
    ValueType.STRING: _text,
    ValueType.STRING_LIST: _strings,
    ValueType.INT64_LIST: _integers,
    ValueType.DOUBLE_LIST: _doubles,
}
