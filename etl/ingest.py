"""Source rows -> raw rows: our names and types, one clock, an id and a place of origin for every row.

Nothing is judged or dropped here. A value that cannot be read as its field's type is named in ``unreadable``, so that
the quality rules refuse the row and the row still counts.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import os

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import EventTable
from contracts.events import FIELDS, LIMITS
from contracts.features import MS_PER_DAY
from etl import source

#: Rows of one task: it holds them in memory a few times over, some 500 MB in all.
PIECE_ROWS = 500_000
_TYPES = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "map": pa.map_(pa.string(), pa.string()),
}
#: Columns of a trusted event: the contract's fields, and where it came from (``source``, and its row or offset there).
EVENTS = pa.schema(
    [(field.name, _TYPES[field.kind]) for field in FIELDS] + [("source", pa.string()), ("offset", pa.int64())]
)
#: Columns of a raw row.
SCHEMA = EVENTS.append(pa.field("unreadable", pa.string()))


def origins(url: str) -> dict[str, str]:
    """Every file of a source -> what tells it from the others, the same wherever they lie.

    Example:
        >>> origins("memory://shop/*/log.csv")  # doctest: +SKIP
        {'memory://shop/2024/log.csv': '2024/log.csv'}
    """
    paths = {file: fsspec.core.url_to_fs(file)[1] if "://" in file else file for file in source.locate(url)}
    common = os.path.commonpath([path.rpartition("/")[0] for path in paths.values()])
    return {file: path[len(common) :].lstrip("/") for file, path in paths.items()}


def whole_day_shift(log_end: int, now_ms: int) -> int:
    """Milliseconds, whole days, that bring ``log_end`` into the 24 hours up to ``now_ms`` with its time of day kept.

    Example:
        >>> whole_day_shift(5, 3 * MS_PER_DAY)
        172800000
    """
    return (now_ms - log_end) // MS_PER_DAY * MS_PER_DAY if log_end else 0


def map_rows(rows: pa.Table, table: EventTable, name: str, origin: str, start: int, shift: int) -> pa.Table:
    """Source rows as raw rows (``SCHEMA``).

    Args:
        rows: the source's rows, ``start`` and following of their file.
        table: how its columns map to ours.
        name: of the data set; made-up ids begin with it.
        origin: what tells the file from the source's others, the same wherever the files lie.
        start: number of the first row in its file.
        shift: milliseconds to add to every time.
    """
    unreadable = np.full(rows.num_rows, None, object)
    offset = pa.array(np.arange(start, start + rows.num_rows))
    columns = {"offset": offset, "source": pa.repeat(pa.scalar(f"history:{origin}"), rows.num_rows)}
    for field in FIELDS:
        kind, theirs = SCHEMA.field(field.name).type, table.columns.get(field.name)
        if theirs is None:
            columns[field.name] = pa.nulls(rows.num_rows, kind)
            continue
        values = rows.column(theirs).combine_chunks()
        if field.name == "event_time":
            columns[field.name], failed = to_ms(values)
        else:
            columns[field.name], failed = _cast(values, kind)
        first = failed & ~pd.notna(unreadable)
        unreadable[first] = [f"{field.name}={str(value)[:64]}" for value in values.filter(pa.array(first)).to_pylist()]
    if "event_id" not in table.columns:
        columns["event_id"] = pc.binary_join_element_wise(f"{name}-{origin}", pc.cast(offset, pa.string()), "-")
    if "event_type" not in table.columns:
        columns["event_type"] = pa.repeat(pa.scalar(table.event_type), rows.num_rows)
    if shift:
        columns["event_time"] = pc.add(columns["event_time"], shift)
    columns["unreadable"] = pa.array(unreadable, pa.string())
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def to_ms(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Times of any kind as int64 ms UTC (a naive time is UTC, a number is ms), and which could not be read."""
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        stamps = pc.cast(values, pa.timestamp("ms", getattr(values.type, "tz", None)), safe=False)
        return pc.cast(stamps, pa.int64()), np.zeros(len(values), bool)
    if not pa.types.is_string(values.type):
        return _cast(values, pa.int64())
    read = pd.to_datetime(values.to_pandas(), errors="coerce", utc=True)
    ms = pa.array(read.astype("int64").to_numpy() // 1_000_000, mask=read.isna().to_numpy())
    failed = np.asarray(read.isna()) & ~_blank(values)
    return ms, failed


def _cast(values: pa.Array, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """Values as ``kind``; an empty string says nothing and becomes null. Second: which values could not be read."""
    nothing = np.zeros(len(values), bool)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), kind), nothing
    if pa.types.is_string(kind):
        text = pc.cast(values, kind)
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, kind), text), nothing
    try:
        return pc.cast(values, kind), nothing
    except pa.ArrowInvalid:
        numbers = np.asarray(pd.to_numeric(values.to_pandas(), errors="coerce"), np.float64)
    bad = np.isnan(numbers)
    if pa.types.is_integer(kind):
        bits = kind.bit_width - 1
        bad |= ~((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**bits))
        numbers = np.where(bad, 0, numbers).astype(np.int64)
    return pc.cast(pa.array(numbers, mask=bad), kind), bad & ~_blank(values)


def _blank(values: pa.Array) -> np.ndarray:
    blank = pc.is_null(values, nan_is_null=pa.types.is_floating(values.type))
    if pa.types.is_string(values.type):
        blank = pc.or_(blank, pc.fill_null(pc.equal(values, ""), True))
    return blank.to_numpy(zero_copy_only=False)


def newest(piece: source.Piece, table: EventTable, now_ms: int) -> int:
    """The newest possible time of a piece: a time in the future is a bad row and must not decide the shift."""
    theirs = table.columns["event_time"]
    times, _ = to_ms(source.read(piece, [theirs]).column(theirs).combine_chunks())
    values = times.drop_null().to_numpy(zero_copy_only=False)
    values = values[(values >= LIMITS.min_event_time) & (values <= now_ms)]
    return int(values.max()) if len(values) else 0
