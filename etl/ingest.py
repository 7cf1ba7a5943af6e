"""Source log -> ``raw/history``: our names and types, one clock, an id for every row; nothing is judged or dropped.

A value that cannot be read as its field's type is named in ``unreadable``, so that the quality rules refuse the row
and the row still counts.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config, EventTable
from contracts.events import FIELDS, LIMITS
from contracts.features import MS_PER_DAY
from etl import source, store
from etl.values import cast, renamed, to_ms

PIECE_ROWS = 250_000
_TYPES = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "map": pa.map_(pa.string(), pa.string()),
}
SCHEMA = pa.schema([(field.name, _TYPES[field.kind]) for field in FIELDS] + [("unreadable", pa.string())])


def run(config: Config, zone: artifacts.Zones, client: Any, fingerprint: str, now_ms: int) -> dict[str, Any]:
    """Write the raw history of ``config`` and its manifest; returns the manifest's facts.

    The shift of ``time_shift = "end_at_now"`` is decided here, once: it stays for as long as this zone is current.
    """
    artifacts.drop_manifest(zone.raw)
    table = config.source.events
    parts = source.pieces(table.url, PIECE_ROWS, table)
    shift = 0
    if config.source.time_shift == "end_at_now":
        ends = client.gather(client.map(_newest, parts, table=table, now_ms=now_ms, pure=False))
        shift = whole_day_shift(max(ends, default=0), now_ms)
    store.clear(f"{zone.raw}/history")
    tasks = client.map(
        _write, parts, range(len(parts)), table=table, name=config.name, shift=shift, root=zone.raw, pure=False
    )
    facts = {"rows": sum(client.gather(tasks)), "shift_ms": shift, "url": table.url}
    artifacts.write_manifest(zone.raw, fingerprint, **facts)
    return facts


def whole_day_shift(log_end: int, now_ms: int) -> int:
    """Milliseconds, whole days, that bring ``log_end`` into the 24 hours up to ``now_ms`` with its time of day kept.

    Example:
        >>> whole_day_shift(5, 3 * MS_PER_DAY)
        172800000
    """
    return (now_ms - log_end) // MS_PER_DAY * MS_PER_DAY if log_end else 0


def map_rows(rows: pa.Table, table: EventTable, name: str, piece: source.Piece, shift: int) -> pa.Table:
    """Source rows as event rows (``SCHEMA``), times shifted."""
    broken = rows.column(source.UNREADABLE).to_pandas() if source.UNREADABLE in rows.column_names else None
    unreadable = np.full(rows.num_rows, None, object) if broken is None else broken.to_numpy(object).copy()
    columns = {}
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
        first = failed & ~pd.notna(unreadable)
        unreadable[first] = [f"{field.name}={str(value)[:64]}" for value in values.filter(pa.array(first)).to_pylist()]
    if "event_id" not in table.columns:
        row = pc.cast(pa.array(np.arange(piece.start, piece.stop)), pa.string())
        columns["event_id"] = pc.binary_join_element_wise(f"{name}-{piece.file}", row, "-")
    if table.event_types:
        columns["event_type"] = renamed(columns["event_type"], table.event_types)
    if "event_type" not in table.columns:
        columns["event_type"] = pa.repeat(pa.scalar(table.event_type), rows.num_rows)
    if shift:
        columns["event_time"] = pc.add(columns["event_time"], shift)
    columns["unreadable"] = pa.array(unreadable, pa.string())
    return pa.table([columns[field.name] for field in SCHEMA], schema=SCHEMA)


def _newest(piece: source.Piece, table: EventTable, now_ms: int) -> int:
    """The newest possible time of a piece: a time in the future is a bad row and must not decide the shift."""
    theirs = table.columns["event_time"]
    times, _ = to_ms(source.read(piece, [theirs]).column(theirs).combine_chunks(), table.time_unit)
    values = times.drop_null().to_numpy(zero_copy_only=False)
    values = values[(values >= LIMITS.min_event_time) & (values <= now_ms)]
    return int(values.max()) if len(values) else 0


def _write(piece: source.Piece, number: int, table: EventTable, name: str, shift: int, root: str) -> int:
    rows = map_rows(source.read(piece, list(table.columns.values())), table, name, piece, shift)
    store.write_by_day(rows, f"{root}/history", f"part-{number:05d}")
    return rows.num_rows
