"""Events whose id came before, in this run or in any earlier one: found by hashes, decided by the ids themselves.

Every task leaves the sorted hashes of its event ids; a bucket of the hash space is merged with that of the earlier runs
by one task, so that no process ever holds all of them. What has a hash in common is compared as text, so that a chance
collision costs nothing. Of events with one id the first that came stays.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from etl import store

#: Parts of the hash space, each merged by one task: of a thousand million ids one has 16 million.
BUCKETS = 64


class Copies(NamedTuple):
    """Rows of one events file that are later copies: their positions in it."""

    path: str
    rows: np.ndarray


def write(ids: pa.ChunkedArray, url: str) -> np.ndarray:
    """Write the sorted hashes of ids to a file; where each bucket begins and ends in it, int64 ``[BUCKETS + 1]``."""
    found = np.sort(store.hash64(ids))
    store.write_bytes(found.tobytes(), url)
    width = np.uint64(2**64 // BUCKETS)
    borders = np.arange(1, BUCKETS, dtype=np.uint64) * width
    return np.concatenate([[0], np.searchsorted(found, borders), [len(found)]])


def merge(new: Sequence[tuple[str, int, int]], old: str, out: str) -> tuple[np.ndarray, np.ndarray]:
    """Merge a bucket of new hashes with the old ones; the new that occur twice and the new that are old, uint64 each.

    Args:
        new: file of sorted hashes and the part of it, in hashes, that is this bucket's.
        old: the bucket's file of earlier runs; "" where there is none.
        out: the bucket's file from now on.
    """
    parts = [store.read_bytes(url, start * 8, stop * 8) for url, start, stop in new if stop > start]
    fresh = np.frombuffer(b"".join(parts), np.uint64)
    known = np.frombuffer(store.read_bytes(old) if old else b"", np.uint64)
    unique, counts = np.unique(fresh, return_counts=True)
    store.write_bytes(np.union1d(unique, known).tobytes(), out)
    return unique[counts > 1], np.intersect1d(unique, known, assume_unique=True)


def suspects(path: str, number: int, folder: str, wanted: np.ndarray) -> pd.DataFrame:
    """Rows of an events file whose hash is among ``wanted``: ``event_id, path, task, offset, row``."""
    table = store.read(f"{folder}/{path}", ["event_id", "offset"])
    row = np.flatnonzero(np.isin(store.hash64(table.column("event_id")), wanted))
    found = table.take(pa.array(row))
    return pd.DataFrame(
        {
            "event_id": found.column("event_id").to_pandas().to_numpy(object),
            "path": path,
            "task": number,
            "offset": found.column("offset").to_numpy(),
            "row": row,
        }
    )


def copies(fresh: pd.DataFrame, known: pd.DataFrame) -> list[Copies]:
    """Which of the fresh rows are copies of a known row, or of a fresh one that came before them.

    Args:
        fresh: ``suspects`` of this run's files.
        known: ``suspects`` of the files of earlier runs.
    """
    fresh = fresh.sort_values(["task", "offset"], kind="stable")
    again = fresh["event_id"].duplicated() | fresh["event_id"].isin(known["event_id"])
    return [Copies(str(path), np.sort(rows.to_numpy())) for path, rows in fresh[again].groupby("path")["row"]]
