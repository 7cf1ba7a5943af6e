"""JSON lines by piece: one object a line; a line that is none survives as nulls, with the reason."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.json import ParseOptions, ReadOptions, read_json

from contracts.errors import shown
from etl import records

_FIRST_BYTES = 1 << 20
#: Whole numbers beyond this lose digits as doubles, which is what Arrow reads them as.
_EXACT = 2.0**53


def header(file: str) -> tuple[list[str], int]:
    """Names of the fields that the first MiB of a file holds, and the byte where its first row begins."""
    data, begin = records.first(file, None, _FIRST_BYTES)
    starts, ends = records.rows(data, None)
    rows = (_object(data[start:end])[0] for start, end in zip(starts, ends))
    return [*dict.fromkeys(name for row in rows if row for name in row)], begin


def parse(data: bytes, names: Sequence[str], row: int) -> tuple[pa.Table, np.ndarray]:
    """Fields ``names`` of every row, null where a row lacks one, and why a row could not be read (None: it could)."""
    starts, ends = records.rows(data, None)
    reasons = np.full(len(starts), None, object)
    if not len(records.undecodable(data, starts, ends)):
        found = _at_once(data, names)
        if found is not None and found.num_rows == len(starts):
            return found, reasons
    columns: dict[str, list[Any]] = {name: [None] * len(starts) for name in names}
    for number, (start, end) in enumerate(zip(starts, ends)):
        held, why = _object(data[start:end])
        if held is None:
            text = data[start:end][:64].decode(errors="replace").strip()
            reasons[number] = f"row {row + number + 1} {why}: {shown(text)}"
            continue
        for name in names:
            columns[name][number] = held.get(name)
    return pa.table({name: _array(values) for name, values in columns.items()}), reasons


def _at_once(data: bytes, names: Sequence[str]) -> pa.Table | None:
    """By Arrow, where every line is an object and every field has one type; None where that is not so."""
    options = ReadOptions(use_threads=False, block_size=len(data) + 1)
    # Arrow reads text that looks like a time as one; an id would then change its letters.
    text: dict[str, pa.DataType] = {}
    while True:
        schema = pa.schema(text) if text else None
        try:
            found = read_json(io.BytesIO(data), options, ParseOptions(explicit_schema=schema))
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return None
        times = [name for name in names if name in found.column_names and pa.types.is_timestamp(found[name].type)]
        if not times:
            break
        text.update(dict.fromkeys(times, pa.string()))
    columns = {name: found[name] if name in found.column_names else pa.nulls(found.num_rows) for name in names}
    for column in columns.values():
        if pa.types.is_nested(column.type):
            return None
        if pa.types.is_floating(column.type) and (pc.max(pc.abs(column)).as_py() or 0) >= _EXACT:
            return None
    return pa.table(columns)


def _object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        held = json.loads(line.decode())
    except UnicodeDecodeError:
        return None, "is not utf-8"
    except (ValueError, RecursionError):
        return None, "is no JSON"
    return (held, "") if isinstance(held, dict) else (None, "is no object")


def _array(values: list[Any]) -> pa.Array:
    """One column of Python values: objects as maps of strings, and strings of JSON where types are mixed."""
    if any(isinstance(value, dict) for value in values):
        pairs = [_pairs(value) for value in values]
        return pa.array(pairs, pa.map_(pa.string(), pa.string()))
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) == 1 and kinds < {str, bool, int, float}:
        try:
            return pa.array(values)
        except (OverflowError, pa.ArrowInvalid, UnicodeEncodeError):
            pass
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _pairs(value: Any) -> list[tuple[str, str | None]] | None:
    """An object as the entries of a map; a null in it says nothing."""
    return [(k, _text(v)) for k, v in value.items() if v is not None] if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    """A value as text; half of a surrogate pair, which no UTF-8 holds, as a question mark."""
    text = value if isinstance(value, str) or value is None else json.dumps(value)
    return text if text is None else text.encode(errors="replace").decode()
