"""What held for an item in a place over a period (a promotion, a shelf, a price): ``features/context.parquet``.

The source gives one row an item, region and numbered period, by the millions; it is read once, in batches, and put in
order through the file system, so that memory is bounded by a share of it.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import artifacts
from contracts.config import Config, ContextTable
from contracts.features import FIRST_VALUE
from etl import source, store
from etl.values import cast

FILE = "context.parquet"
BATCH_ROWS = 1_000_000
#: Parts of the catalogue, each put in order by itself.
PARTS = 16
_KEYS = ("item_id", "region", "period")


class Context(NamedTuple):
    """The table in memory: what ``as_of`` searches.

    Attributes:
        regions: their names, sorted.
        starts: the instants at which periods begin, ms, sorted.
        key: int64 ``[rows]``, rising: item, region and start as one number (``_key``).
        end: ms ``[rows]``.
        columns: the context, strings ``[rows]``.
    """

    regions: np.ndarray
    starts: np.ndarray
    key: np.ndarray
    end: np.ndarray
    columns: dict[str, pa.Array]


def run(config: Config, zone: artifacts.Zones, catalogue: Sequence[str], shift: int) -> int:
    """Write the context of the catalogue's items, times shifted as the log's are; returns its rows.

    Columns are ``item_code`` int32, ``region``, ``start`` and ``end`` (ms, the end excluded), and the table's others as
    strings. Of two rows of one item, region and period the first counts. Without a table nothing is written.
    """
    table, scratch = config.source.context, f"{zone.features}/context_parts"
    store.clear(f"{zone.features}/{FILE}")
    if not table.url:
        return 0
    store.clear(scratch)
    names = list(table.columns.values())
    for number, rows in enumerate(source.stream(table.url, names, BATCH_ROWS, table)):
        part = _coded(rows, table, catalogue)
        share = part["item_code"].to_numpy().astype(np.int64) * PARTS // max(len(catalogue), 1)
        store.write_split(part, share, f"{scratch}/share=", f"part-{number:05d}")
    written = _ordered(table, scratch, f"{zone.features}/{FILE}", shift)
    store.clear(scratch)
    return written


def period_starts(table: ContextTable, numbers: np.ndarray) -> np.ndarray:
    """When numbered periods begin, ms UTC: at midnight of the table's own time zone, whatever the clocks do."""
    zone, first = ZoneInfo(table.timezone), date.fromisoformat(table.first_start)
    unique, place = np.unique(numbers, return_inverse=True)
    days = [first + timedelta(days=int(number - table.first_period) * table.period_days) for number in unique]
    starts = [datetime.combine(day, datetime.min.time(), zone).astimezone(timezone.utc) for day in days]
    return np.array([int(start.timestamp() * 1000) for start in starts], np.int64)[place]


def load(url: str) -> Context:
    """The table of a features zone.

    Raises:
        FileNotFoundError: when the configuration has no context.
    """
    rows = store.read(url)
    regions, region = _sorted_codes(rows["region"])
    starts, start = np.unique(rows["start"].to_numpy(), return_inverse=True)
    key = _key(rows["item_code"].to_numpy(), region, start + 1, len(regions), len(starts))
    others = [name for name in rows.column_names if name not in ("item_code", "region", "start", "end")]
    columns = {name: rows[name].combine_chunks() for name in others}
    return Context(regions, starts, key, rows["end"].to_numpy(), columns)


def as_of(context: Context, item: np.ndarray, region: np.ndarray, time: np.ndarray) -> dict[str, pa.Array]:
    """The context columns of items in regions at instants: of the period that holds the instant, null where none does.

    Args:
        context: the table.
        item: item codes ``[n]``.
        region: strings ``[n]``.
        time: ms ``[n]``; a period holds its start and not its end.
    """
    asked = pc.index_in(pa.array(region, pa.string()), value_set=pa.array(context.regions, pa.string()))
    known = np.asarray(pc.is_valid(asked)) & bool(len(context.key))
    number = pc.fill_null(asked, 0).to_numpy().astype(np.int64)
    started = np.searchsorted(context.starts, time, side="right")
    wanted = _key(item, number, started, len(context.regions), len(context.starts))
    place = np.searchsorted(context.key, wanted, side="right") - 1
    at = np.where(known & (place >= 0), place, 0)
    if len(context.key):
        width = len(context.starts) + 1
        known &= (place >= 0) & (context.key[at] // width == wanted // width) & (time < context.end[at])
    index = pa.array(at, mask=~known)
    return {name: values.take(index) for name, values in context.columns.items()}


def _key(item: np.ndarray, region: np.ndarray, started: np.ndarray, regions: int, starts: int) -> np.ndarray:
    """One number of an item, a region and how many periods have begun: rises with each in turn."""
    return (item.astype(np.int64) * regions + region) * (starts + 1) + started


def _sorted_codes(values: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """The different strings of a column, sorted, and the place of every row's among them."""
    coded = pc.dictionary_encode(values).combine_chunks()
    names = np.array(coded.dictionary.to_pylist(), object)
    order = np.argsort(names)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return names[order], place[coded.indices.to_numpy()]


def _coded(rows: pa.Table, table: ContextTable, catalogue: Sequence[str]) -> pa.Table:
    """Rows of catalogue items with a readable period: our columns, the period as its number."""
    columns = {}
    for ours, theirs in table.columns.items():
        values = pc.dictionary_encode(rows.column(theirs)).combine_chunks()
        kind = pa.int64() if ours == "period" else pa.string()
        columns[ours] = cast(values.dictionary, kind)[0].take(values.indices)
    code = pc.index_in(columns.pop("item_id"), value_set=pa.array(catalogue, pa.string()))
    region = columns.pop("region") if "region" in columns else pa.array([""] * rows.num_rows)
    out = pa.table({"item_code": code, "region": pc.fill_null(region, ""), **columns})
    return out.filter(pc.and_(pc.is_valid(out["item_code"]), pc.is_valid(out["period"])))


def _ordered(table: ContextTable, scratch: str, url: str, shift: int) -> int:
    """Write the parts behind one another, each in order; what is left in memory at a time is one part."""
    filesystem, path = fsspec.core.url_to_fs(url)
    folder = fsspec.core.url_to_fs(scratch)[1]
    parts = sorted(filesystem.glob(f"{folder}/share=*"), key=lambda name: int(name.rpartition("=")[2]))
    others = [name for name in table.columns if name not in _KEYS]
    kinds = [("item_code", pa.int32()), ("region", pa.string()), ("start", pa.int64()), ("end", pa.int64())]
    schema = pa.schema([*kinds, *((name, pa.string()) for name in others)])
    written = 0
    filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
    with filesystem.open(path, "wb") as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for part in parts:
            rows = store.read(f"{scratch}/{part.rpartition('/')[2]}")
            region = _sorted_codes(rows["region"])[1]
            item, period = rows["item_code"].to_numpy(), rows["period"].to_numpy()
            order = np.lexsort((period, region, item))
            keys = np.stack([item, region, period])[:, order]
            order = order[np.append(True, (np.diff(keys) != 0).any(axis=0))] if len(order) else order
            rows, period = rows.take(pa.array(order)), period[order]
            columns = {
                "item_code": pc.add(rows["item_code"], FIRST_VALUE).cast(pa.int32()),
                "region": rows["region"],
                "start": pa.array(period_starts(table, period) + shift),
                "end": pa.array(period_starts(table, period + 1) + shift),
            }
            writer.write_table(pa.table({**columns, **{name: rows[name] for name in others}}, schema=schema))
            written += len(order)
    return written
