"""Whether a peer computed what Trireme did, value by value, in bounded memory.

Both sides are split by a hash of their key into files of some hundred thousand rows; each pair of files is sorted by
the key and compared: text and integers exactly, floats to ``RELATIVE``, lists element by element. Columns that only
one side has are left out.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from tests.benchmarks.etl import case

#: A share of the larger of two floats.
RELATIVE = 1e-9
ROWS_A_SPLIT = 250_000

_LISTS = {
    "recent_item_ids": pa.string(),
    "recent_event_times": pa.int64(),
    "recent_item_codes": pa.int64(),
    "count_categories": pa.string(),
    **{f"category_counts_{hours}h": pa.float64() for hours in case.HALF_LIVES_HOURS},
    "target_item_codes": pa.int64(),
}
_TEXT = ("event_id", "event_type", "user_id", "item_id", "session_id", "region", "home_region")


class Output(NamedTuple):
    """One table that all tools make.

    Attributes:
        name: the peers' file or folder, less its ``.parquet``.
        ours: Trireme's, below its zones.
        key: what tells its rows apart; the first decides the split.
        columns: what is compared, the key included.
    """

    name: str
    ours: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


OUTPUTS = (
    Output("vocabulary", "features/items.parquet", ("item_code",), ("item_id", "item_code")),
    Output("events", "processed/events", ("event_id",), case.EVENT_COLUMNS),
    Output(
        "buckets",
        "features/buckets.parquet",
        ("item_code", "bucket", "region"),
        ("bucket", "region", "item_code", "count"),
    ),
    Output("rows", "features/rows/window=A", ("user_id", "as_of"), case.ROW_COLUMNS),
)


def difference(zones: Path, peer: Path, scratch: Path, outputs: tuple[Output, ...] = OUTPUTS) -> str | None:
    """The first difference between Trireme's zones and a peer's folder, with both rows; None when there is none.

    Args:
        zones: Trireme's folder of zones.
        peer: the peer's folder.
        scratch: a folder for the split; its part for ``zones`` stays, so that the next peer need not wait for it.
        outputs: what to compare, in this order.
    """
    for output in outputs:
        ours = split(zones / output.ours, output, scratch / "ours" / output.name)
        theirs = split(peer / f"{output.name}.parquet", output, scratch / "theirs" / output.name, len(ours))
        try:
            for here, there in zip(ours, theirs):
                found = between(_sorted(here, output), _sorted(there, output), output)
                if found:
                    return found
        finally:
            shutil.rmtree(scratch / "theirs")
    return None


def split(source: Path, output: Output, folder: Path, parts: int = 0) -> list[Path]:
    """Rows by hash of their key, in ``parts`` Arrow files; 0: as the size asks for, and kept when they are there."""
    if parts == 0 and folder.exists():
        return sorted(folder.iterdir())
    table = ds.dataset(source, format="parquet", partitioning=None)
    parts = parts or max(1, -(-table.count_rows() // ROWS_A_SPLIT))
    folder.mkdir(parents=True)
    paths = [folder / f"{part:04d}.arrow" for part in range(parts)]
    schema = pa.schema([(name, _type(name)) for name in output.columns])
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    writers = [pa.ipc.new_file(str(path), schema, options=options) for path in paths]
    for batch in table.to_batches(columns=list(output.columns), batch_readahead=2, fragment_readahead=1):
        rows = pa.record_batch([_plain(batch.column(name), _type(name)) for name in output.columns], schema=schema)
        number = _hashes(rows.column(output.key[0])) % np.uint64(parts)
        order = np.argsort(number, kind="stable")
        rows = rows.take(pa.array(order))
        bounds = np.searchsorted(number[order], np.arange(parts + 1))
        for writer, start, stop in zip(writers, bounds, bounds[1:]):
            writer.write(rows.slice(start, stop - start))
    for writer in writers:
        writer.close()
    return paths


def between(ours: pa.Table, theirs: pa.Table, output: Output) -> str | None:
    """The first difference between two tables that are sorted by the key."""
    rows = min(ours.num_rows, theirs.num_rows)
    for name in (*output.key, *(name for name in output.columns if name not in output.key)):
        at = first_difference(_whole(ours, name, rows), _whole(theirs, name, rows))
        if at is not None:
            return _told(output, name, ours, theirs, at)
    if ours.num_rows != theirs.num_rows:
        return _told(output, "number of rows", ours, theirs, rows)
    return None


def first_difference(ours: pa.Array, theirs: pa.Array) -> int | None:
    """Position of the first unequal pair of two arrays of one length and type; None when all are equal."""
    if pa.types.is_list(ours.type):
        sizes, others = (pc.fill_null(pc.list_value_length(values), -1) for values in (ours, theirs))
        unequal = np.flatnonzero(sizes.to_numpy() != others.to_numpy())
        if len(unequal):
            return int(unequal[0])
        at = first_difference(ours.flatten(), theirs.flatten())
        return None if at is None else int(np.searchsorted(np.cumsum(np.maximum(sizes, 0)), at, side="right"))
    nulls, others = (values.is_null().to_numpy(zero_copy_only=False) for values in (ours, theirs))
    if pa.types.is_floating(ours.type):
        a, b = (values.to_numpy(zero_copy_only=False) for values in (ours, theirs))
        equal = np.isclose(a, b, rtol=RELATIVE, atol=0.0)
    else:
        equal = pc.fill_null(pc.equal(ours, theirs), False).to_numpy(zero_copy_only=False)
    unequal = np.flatnonzero((nulls != others) | ~(equal | nulls))
    return int(unequal[0]) if len(unequal) else None


def _sorted(path: Path, output: Output) -> pa.Table:
    with pa.ipc.open_file(str(path)) as reader:
        return reader.read_all().sort_by([(name, "ascending") for name in output.key])


def _whole(table: pa.Table, name: str, rows: int) -> pa.Array:
    return table.column(name).slice(0, rows).combine_chunks()


def _told(output: Output, what: str, ours: pa.Table, theirs: pa.Table, at: int) -> str:
    rows = [str(table.slice(at, 1).to_pylist() or "no such row") for table in (ours, theirs)]
    return f"{output.name}: {what} differs\n  trireme: {rows[0]}\n  peer:    {rows[1]}"


def _type(name: str) -> pa.DataType:
    if name in _LISTS:
        return pa.list_(_LISTS[name])
    return pa.string() if name in _TEXT else pa.float64() if name == "value" else pa.int64()


def _plain(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values as ``kind``, whether they lie as dictionaries, as large or as narrow types."""
    if not pa.types.is_list(kind):
        return values.dictionary_decode().cast(kind) if pa.types.is_dictionary(values.type) else values.cast(kind)
    sizes = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    mask = values.is_null() if values.null_count else None
    return pa.ListArray.from_arrays(offsets, _plain(values.flatten(), kind.value_type), mask=mask)


def _hashes(keys: pa.Array) -> np.ndarray:
    """A hash uint64 of every key."""
    encoded = keys.dictionary_encode()
    names = encoded.dictionary.to_numpy(zero_copy_only=False)
    return pd.util.hash_array(names, categorize=False)[encoded.indices.to_numpy()]
