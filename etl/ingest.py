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
from contracts.events import FIELDS, LIMITS, arrow_types
from contracts.features import MS_PER_DAY
from etl import source
from etl.values import cast, renamed, to_ms

#: Rows of one task: it holds them in memory a few times over, some 500 MB in all.
PIECE_ROWS = 500_000
_TYPES = arrow_types(pa)
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
    broken = rows.column(source.UNREADABLE).to_pandas() if source.UNREADABLE in rows.column_names else None
    unreadable = np.full(rows.num_rows, None, object) if broken is None else broken.to_numpy(object).copy()
    offset = pa.array(np.arange(start, start + rows.num_rows))
    columns = {"offset": offset, "source": pa.repeat(pa.scalar(f"history:{origin}"), rows.num_rows)}
    for field in FIELDS:
        kind, theirs = SCHEMA.field(field.name).type, table.columns.get(field.name)
        if theirs is None:
            columns[field.name] = pa.nulls(rows.num_rows, kind)
            continue
        values = rows.column(theirs).combine_chunks()
        if field.name == "event_time":
            columns[field.name], failed = to_ms(values, table.time_unit)
        else:
            columns[field.name], failed = cast(values, kind)
        if failed.any():
            first = failed & ~pd.notna(unreadable)
            texts = values.filter(pa.array(first)).to_pylist()
            unreadable[first] = [f"{field.name}={str(value)[:64]}" for value in texts]
    if "event_id" not in table.columns:
        columns["event_id"] = pc.binary_join_element_wise(f"{name}-{origin}", pc.cast(offset, pa.string()), "-")
    if table.event_types:
        columns["event_type"] = renamed(columns["event_type"], table.event_types)
    if "event_type" not in table.columns:
        columns["event_type"] = pa.repeat(pa.scalar(table.event_type), rows.num_rows)
    if shift:
        columns["event_time"] = pc.add(columns["event_time"], shift)
    columns["unreadable"] = pa.array(unreadable, pa.string())
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def newest(piece: source.Piece, table: EventTable, now_ms: int) -> int:
    """The newest possible time of a piece: a time in the future is a bad row and must not decide the shift."""
    theirs = table.columns["event_time"]
    times, _ = to_ms(source.read(piece, [theirs]).column(theirs).combine_chunks(), table.time_unit)
    values = times.drop_null().to_numpy(zero_copy_only=False)
    values = values[(values >= LIMITS.min_event_time) & (values <= now_ms)]
    return int(values.max()) if len(values) else 0
