"""Parquet on the root's file system: by day, in one file, and cleared."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Sequence

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pandas.util import hash_pandas_object

from contracts.events import LIMITS

YEAR_2100 = 4_102_444_800_000


def clear(url: str) -> None:
    """Remove a folder with all that is in it, so that files of an earlier run are never read with new ones."""
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def write(table: pa.Table, url: str) -> None:
    """Write one file."""
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    with filesystem.open(path, "wb") as stream:
        pq.write_table(table, stream, compression="zstd")


def read(url: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one file, or all files of a folder in the order of their names."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return _dataset(filesystem, path).to_table(columns=None if columns is None else list(columns))


def days(url: str) -> list[str]:
    """The ``day=…`` folders of a zone, sorted."""
    filesystem, path = fsspec.core.url_to_fs(url)
    if not filesystem.exists(path):
        return []
    names = (entry.rsplit("/", 1)[-1] for entry in filesystem.ls(path, detail=False))
    return sorted(name for name in names if name.startswith("day="))


def read_days(url: str, names: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of some days, in the order of days and file names."""
    filesystem, path = fsspec.core.url_to_fs(url)
    files = [file for name in names for file in sorted(filesystem.glob(f"{path}/{name}/*.parquet"))]
    return _dataset(filesystem, files).to_table(columns=None if columns is None else list(columns))


def write_by_day(table: pa.Table, url: str, name: str) -> None:
    """Write rows under ``day=YYYY-MM-DD/`` by ``event_time``; ``day=unknown`` where there is no possible time."""
    time = table.column("event_time")
    possible = pc.and_(pc.greater_equal(time, LIMITS.min_event_time), pc.less(time, YEAR_2100))
    known = pc.fill_null(possible, False)
    date = pc.cast(pc.cast(pc.cast(pc.if_else(known, time, 0), pa.timestamp("ms")), pa.date32()), pa.string())
    write_split(table.append_column("day", pc.if_else(known, date, "unknown")), url, "day", name)


def write_split(table: pa.Table, url: str, column: str, name: str) -> None:
    """Write rows under ``column=value/``, order kept; the column itself goes into the folder's name."""
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path, exist_ok=True)
    codes = pc.dictionary_encode(table.column(column)).combine_chunks()
    order = np.argsort(codes.indices.to_numpy(), kind="stable")
    bounds = np.searchsorted(codes.indices.to_numpy()[order], np.arange(len(codes.dictionary) + 1))
    rows = table.drop([column]).take(pa.array(order))
    for value, start, stop in zip(codes.dictionary.to_pylist(), bounds, bounds[1:]):
        write(rows.slice(start, stop - start), f"{url}/{column}={value}/{name}.parquet")


def hash64(texts: np.ndarray) -> np.ndarray:
    """A stable hash uint64 of every string, the same in every process and run."""
    series = pd.Series(texts, dtype=object)
    return hash_pandas_object(series, index=False, categorize=False).to_numpy()  # pyright: ignore[reportCallIssue]


def _dataset(filesystem: fsspec.AbstractFileSystem, paths: str | list[str]) -> ds.Dataset:
    return ds.dataset(paths, filesystem=filesystem, format="parquet", partitioning=None)
