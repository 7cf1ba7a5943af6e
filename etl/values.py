"""Columns of any Arrow type as what a field takes: plain columns, times, casts that name what they cannot read."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

#: Of each unit of time, how many make a millisecond.
PER_MS: Mapping[str, float] = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}
_MAP = pa.map_(pa.string(), pa.string())


def plain(values: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """A column without dictionaries, large types or bytes, an object as a map; and which values are no text.

    Raises:
        TypeError: naming the type, when it is none that a field can be made of.
    """
    column = values.combine_chunks()
    nothing = np.zeros(len(column), bool)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or _is_bytes(kind):
        return _text(column)
    if pa.types.is_struct(kind) or (pa.types.is_map(kind) and kind != _MAP):
        return pa.array([_pairs(value) for value in column.to_pylist()], _MAP), nothing
    if pa.types.is_float16(kind):
        return pc.cast(column, pa.float32()), nothing
    if pa.types.is_nested(kind) and kind != _MAP or pa.types.is_time(kind) or pa.types.is_duration(kind):
        raise TypeError(str(kind))
    return column, nothing


def cast(values: pa.Array, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """Values as ``kind``; an empty string says nothing and becomes null. Second: which values could not be read."""
    nothing = np.zeros(len(values), bool)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind), nothing
    if values.type == kind and pa.types.is_map(kind):
        return values, nothing
    if (
        pa.types.is_map(kind)
        or pa.types.is_map(values.type)
        or (_is_time(values.type) and not pa.types.is_string(kind))
    ):
        return pa.nulls(len(values), kind), np.asarray(pc.is_valid(values))
    if pa.types.is_string(kind):
        text = pc.cast(values, kind)
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, kind), text), nothing
    try:
        return pc.cast(values, kind), nothing
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = np.asarray(pd.to_numeric(values.to_pandas(), errors="coerce"), np.float64)
    bad = np.isnan(numbers)
    if pa.types.is_integer(kind):
        bits = kind.bit_width - 1
        bad |= ~((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**bits))
        numbers = np.where(bad, 0, numbers).astype(np.int64)
    return pc.cast(pa.array(numbers, mask=bad), kind), bad & ~blank(values)


def to_ms(values: pa.Array, unit: str = "ms") -> tuple[pa.Array, np.ndarray]:
    """Times of any kind as int64 ms UTC, and which could not be read.

    A naive time is UTC; a number, or text that is one, counts ``unit`` since the epoch and is cut to the millisecond.
    """
    if _is_time(values.type):
        stamps = pc.cast(values, pa.timestamp("ms", getattr(values.type, "tz", None)), safe=False)
        return pc.cast(stamps, pa.int64()), np.zeros(len(values), bool)
    if not pa.types.is_string(values.type):
        return _scaled(values, unit)
    if pc.all(pc.match_substring_regex(values, r"^\s*-?\d+(\.\d+)?\s*$")).as_py():
        return _scaled(values, unit)
    for kind in (pa.timestamp("ms"), pa.timestamp("ms", "UTC")):
        try:
            return pc.cast(pc.cast(values, kind), pa.int64()), np.zeros(len(values), bool)
        except pa.ArrowInvalid:
            continue
    numeric = np.asarray(pc.fill_null(pc.match_substring_regex(values, r"^\s*-?\d{6,}(\.\d+)?\s*$"), False))
    counted, failed = _scaled(pc.if_else(pa.array(numeric), values, pa.scalar(None, pa.string())), unit)
    read = pd.to_datetime(values.to_pandas().mask(numeric), errors="coerce", utc=True)
    written = pa.array(read.astype("int64").to_numpy() // 1_000_000, mask=read.isna().to_numpy())
    failed |= np.asarray(read.isna()) & ~numeric & ~blank(values)
    return pc.coalesce(counted, written), failed


def renamed(values: pa.Array, ours: Mapping[str, str]) -> pa.Array:
    """Text by a map of words; what is not in it stays as it is."""
    place = pc.index_in(values, value_set=pa.array([*ours], pa.string()))
    return pc.coalesce(pa.array([*ours.values()], pa.string()).take(place), values)


def blank(values: pa.Array) -> np.ndarray:
    """Which values say nothing: null, NaN or an empty string."""
    empty = pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))
    if pa.types.is_string(values.type):
        empty = pc.or_(empty, pc.fill_null(pc.equal(values, ""), True))
    return empty.to_numpy(zero_copy_only=False)


def _scaled(values: pa.Array, unit: str) -> tuple[pa.Array, np.ndarray]:
    """Numbers of ``unit`` as whole ms. Seconds may have a fraction; whole numbers stay exact."""
    if unit == "ms":
        return cast(values, pa.int64())
    try:
        whole = pc.cast(values, pa.int64())
        held, absent = pc.fill_null(whole, 0).to_numpy(), np.asarray(pc.is_null(whole))
        failed = np.zeros(len(values), bool)
    except pa.ArrowInvalid:
        numbers, failed = cast(values, pa.float64())
        held = numbers.to_numpy(zero_copy_only=False)
        failed |= np.isinf(held)
        absent = ~np.isfinite(held)
        held = np.where(absent, 0.0, held)
    beyond = np.abs(held.astype(np.float64) / PER_MS[unit]) >= 2.0**63
    failed, absent = failed | beyond, absent | beyond
    held = np.where(absent, 0, held)
    ms = held * 1000 if unit == "s" else held // int(PER_MS[unit])
    return pa.array(ms.astype(np.int64), mask=absent | failed), failed


def _is_time(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _text(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Text or bytes as strings; Parquet does not see to it that a string is UTF-8. What is not becomes null."""
    data = pc.cast(column, pa.binary())
    nothing = np.zeros(len(column), bool)
    try:
        return pc.cast(data, pa.string()), nothing
    except pa.ArrowInvalid:
        bad = np.array([value is not None and not _decodes(value) for value in data.to_pylist()], bool)
        return pc.cast(pc.if_else(pa.array(bad), pa.scalar(None, pa.binary()), data), pa.string()), bad


def _decodes(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pairs(value: object) -> list[tuple[str, str]] | None:
    """An object as the entries of a map of strings; what it has no value for is left out."""
    if value is None:
        return None
    pairs = value.items() if isinstance(value, Mapping) else list(value)  # pyright: ignore[reportArgumentType]
    return [
        (str(key), held if isinstance(held, str) else json.dumps(held, default=str))
        for key, held in pairs
        if held is not None
    ]
