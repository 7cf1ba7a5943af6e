"""Parquet on the root's file system: by day, in one file, and cleared."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from contracts.events import LIMITS
from contracts.features import MS_PER_DAY

YEAR_2100 = 4_102_444_800_000
_WORD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
#: Stretches of rows of one day up to which slices cost less than a copy of all rows in order.
RUNS = 5_000


def clear(url: str) -> None:
    """Remove a folder with all that is in it, so that files of an earlier run are never read with new ones."""
    filesystem, path = fsspec.core.url_to_fs(url)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def remove(pattern: str, keep: Collection[str]) -> None:
    """Remove the files that match a pattern, but those of the names in ``keep``."""
    filesystem, path = fsspec.core.url_to_fs(pattern)
    for found in filesystem.glob(path):
        if found.rsplit("/", 1)[-1] not in keep:
            filesystem.rm_file(found)


def write(table: pa.Table, url: str, compression: str = "zstd") -> None:
    """Write one file."""
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    with filesystem.open(path, "wb") as stream:
        pq.write_table(table, stream, compression=compression, use_dictionary=_repeated(table.schema))


def write_parts(tables: Iterable[pa.Table], url: str) -> None:
    """Write tables of one schema, one after the other, as one file; there must be one at least."""
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    rest = iter(tables)
    first = next(rest)
    options = {"compression": "zstd", "use_dictionary": _repeated(first.schema)}
    with filesystem.open(path, "wb") as stream, pq.ParquetWriter(stream, first.schema, **options) as writer:
        for table in itertools.chain([first], rest):
            writer.write_table(table)


def _repeated(schema: pa.Schema) -> list[str] | bool:
    """The columns that a dictionary is worth building for: texts that are no event ids.

    Numbers and lists take a third less time, and no more room, without one (measured on events and training rows).
    """
    return [field.name for field in schema if pa.types.is_string(field.type) and field.name != "event_id"] or False


def concat(urls: Sequence[str], url: str) -> None:
    """Put files together, one at a time in memory."""
    write_parts(map(read, urls), url)


def read(url: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one file, or all files of a folder in the order of their names."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return _dataset(filesystem, path).to_table(columns=None if columns is None else list(columns))


def read_where(urls: Sequence[str], columns: Sequence[str], condition: ds.Expression) -> pa.Table:
    """The rows of some files for which a condition holds, in the order of the files; there must be one at least."""
    filesystem, _ = fsspec.core.url_to_fs(urls[0])
    paths = [fsspec.core.url_to_fs(url)[1] for url in urls]
    return _dataset(filesystem, paths).to_table(columns=list(columns), filter=condition)


def by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Rows by the day of ``event_time``, order kept: ``day=YYYY-MM-DD``, ``day=unknown`` where the time is impossible.

    Rows that lie by day already, as in a log by time, are only sliced, however many stray ones lie between them.
    """
    time = table.column("event_time")
    possible = pc.and_(pc.greater_equal(time, LIMITS.min_event_time), pc.less(time, YEAR_2100))
    ms = np.asarray(pc.fill_null(pc.if_else(possible, time, None), -1))
    day = np.where(ms < 0, -1, ms // MS_PER_DAY)
    first = np.flatnonzero(np.diff(day, prepend=day[0] - 1)) if len(day) else np.empty(0, np.int64)
    if len(first) > RUNS:
        order = np.argsort(day, kind="stable")
        table, day = table.take(pa.array(order)), day[order]
        first = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    last = np.append(first[1:], len(day))
    for each in np.unique(day):
        name = "unknown" if each < 0 else str(np.datetime64(int(each), "D"))
        here = day[first] == each
        runs = [table.slice(start, stop - start) for start, stop in zip(first[here], last[here])]
        yield f"day={name}", pa.concat_tables(runs)


def write_split(table: pa.Table, groups: np.ndarray, folder: str, name: str) -> None:
    """Write the rows of every group, order kept, to ``<folder><group>/<name>.parquet``; such files live briefly."""
    order = np.argsort(groups, kind="stable")
    present, first = np.unique(groups[order], return_index=True)
    rows = table.take(pa.array(order))
    for group, start, stop in zip(present, first, [*first[1:], len(groups)]):
        write(rows.slice(start, stop - start), f"{folder}{group}/{name}.parquet", "lz4")


def read_all(urls: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """The rows of some files, in their order."""
    return pa.concat_tables([read(url, columns) for url in urls])


def count(url: str) -> int:
    """Rows of a file."""
    filesystem, path = fsspec.core.url_to_fs(url)
    with filesystem.open(path, "rb") as stream:
        return pq.ParquetFile(stream).metadata.num_rows


def move(url: str, to: str) -> None:
    """Move a file."""
    filesystem, path = fsspec.core.url_to_fs(url)
    target = fsspec.core.url_to_fs(to)[1]
    filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
    filesystem.mv(path, target)


def write_bytes(content: bytes, url: str) -> None:
    """Write a file of bytes."""
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, content)


def read_bytes(url: str, start: int | None = None, stop: int | None = None) -> bytes:
    """The bytes ``start`` to ``stop`` of a file."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem.cat_file(path, start=start, end=stop)


def hash64(texts: pa.ChunkedArray) -> np.ndarray:
    """A hash uint64 of every text, the same in every process: eight bytes at a time, then the end of MurmurHash3."""
    if not len(texts):
        return np.empty(0, np.uint64)
    return np.concatenate([_hashes(chunk) for chunk in texts.chunks])


def _hashes(texts: pa.Array) -> np.ndarray:
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    first, size = bounds[0], np.diff(bounds)
    held = np.frombuffer(data, np.uint8)[first : bounds[-1]] if data else np.empty(0, np.uint8)
    padded = np.concatenate([held, np.zeros(8, np.uint8)])
    words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))
    start = bounds[:-1] - first
    found = (size.astype(np.uint64) + np.uint64(1)) * _WORD
    for done in range(0, int(size.max(initial=0)), 8):
        left = np.clip(size - done, 0, 8)
        word = words[np.minimum(start + done, len(words) - 1)]
        word = np.where(left == 8, word, word & ((np.uint64(1) << (8 * left % 64).astype(np.uint64)) - np.uint64(1)))
        mixed = (found ^ word) * _WORD
        found = np.where(left > 0, mixed ^ (mixed >> np.uint64(29)), found)
    found = (found ^ (found >> np.uint64(33))) * _MIX
    return found ^ (found >> np.uint64(33))


def _dataset(filesystem: fsspec.AbstractFileSystem, paths: str | list[str]) -> ds.Dataset:
    return ds.dataset(paths, filesystem=filesystem, format="parquet", partitioning=None)
