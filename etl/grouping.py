"""``processed/events`` by day -> temporary files by user: a shuffle over the file system, for any number of workers.

All rows of a user lie in the files of one group, so that everything that follows is local to a group. Groups are ranges
of sorted user ids: what they give, one after the other, is sorted. What is local to a day is counted in passing.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.features import MS_PER_MINUTE
from etl import device, history, ledger, store, timeline
from etl.cluster import Session
from etl.timeline import Timeline

#: Rows of one group, about: what one worker holds in memory at once.
ROWS_A_GROUP = 300_000
#: Rows of one task of the shuffle, about; a day is never cut.
ROWS_A_SPLIT = 600_000
#: User ids that one file gives to find the borders of the groups.
SAMPLE = 1_000
#: Files that are asked for them.
SAMPLED_FILES = 256


class Groups(NamedTuple):
    """Interactions by user, and what was counted on the way.

    Attributes:
        folders: one a group, in the order of their users.
        counts: files with ``bucket`` int32, ``region``, ``item_id``, ``count`` int32, in the order of buckets.
        items: ``item_id`` and ``count`` int64 of the interactions before the cut, 0 where there is none.
    """

    folders: list[str]
    counts: list[str]
    items: pa.Table


class Place(NamedTuple):
    """What all tasks share: processed zone, category, the groups' folder, the cut (ms) and the length of a bucket."""

    processed: str
    category: str
    folder: str
    cut: int
    bucket_minutes: int


def run(place: Place, files: Mapping[str, int], session: Session) -> Groups:
    """Write groups and counts below ``place.folder``.

    Args:
        place: where from, where to.
        files: file below ``processed/events`` -> its rows.
        session: where tasks run.
    """
    store.clear(place.folder)
    count = max(2, -(-sum(files.values()) // ROWS_A_GROUP))
    names = sorted(files)
    asked = names[:: -(-len(names) // SAMPLED_FILES)]
    samples = session.each("users sampled", _sample, [_url(place, name) for name in asked])
    # A few large tables travel as a file: client.map turns a large keyword into a task, on which the scheduler of this
    # Dask stumbles (TypeError in update_graph).
    store.write(pa.table({"user_id": _borders(np.concatenate(samples), count)}), f"{place.folder}/borders.parquet")
    chunks = _chunks(files)
    parts = session.each("interactions by user", _split, chunks, range(len(chunks)), place=place)
    present = sorted(set().union(*(groups for groups, _ in parts)))
    items = pa.concat_tables([counted for _, counted in parts])
    totals = items.group_by("item_id").aggregate([("count", "sum")]).rename_columns(["count", "item_id"])
    return Groups(
        [f"{place.folder}/group={group}" for group in present],
        [f"{place.folder}/counts/part-{number:05d}.parquet" for number in range(len(chunks))],
        totals.select(["item_id", "count"]),
    )


def with_category(rows: pa.Table, items: Timeline, category: str) -> pa.Table:
    """Rows with the ``category`` that their item has from their time on or since before.

    It is "" where the items do not know it, or where nothing is counted by.
    """
    if not category:
        return rows.append_column("category", pa.repeat(pa.scalar(""), rows.num_rows))
    # A change counts from its very instant on.
    found = items.before(rows.column("item_id"), rows.column("event_time").to_numpy() + 1)
    return rows.append_column("category", pc.fill_null(found[category], ""))


def _url(place: Place, file: str) -> str:
    return f"{place.processed}/{ledger.EVENTS}/{file}"


def _chunks(files: Mapping[str, int]) -> list[list[str]]:
    """Files by whole days, in groups of about ``ROWS_A_SPLIT`` rows."""
    days: dict[str, list[str]] = {}
    for name in sorted(files):
        days.setdefault(name.split("/")[0], []).append(name)
    out: list[list[str]] = []
    room = 0
    for held in days.values():
        rows = sum(files[name] for name in held)
        if not out or rows > room:
            out.append([])
            room = ROWS_A_SPLIT
        out[-1] += held
        room -= rows
    return out


def _sample(url: str) -> np.ndarray:
    """User ids of rows that are spread evenly over a file."""
    users = store.read(url, ["user_id"]).column("user_id").drop_null()
    chosen = np.linspace(0, len(users) - 1, min(SAMPLE, len(users))).astype(np.int64)
    return users.take(pa.array(chosen)).to_pandas().to_numpy(object)


def _borders(sample: np.ndarray, count: int) -> pa.Array:
    """The last user ids of all groups but the last, each once, so that groups have about equally many rows."""
    at = np.arange(1, count) * len(sample) // count
    return pa.array(sorted(set(np.sort(sample)[at])) if len(sample) else [], pa.string())


def _split(files: list[str], number: int, place: Place) -> tuple[list[int], pa.Table]:
    """Write the rows of some days by group, and what happened by bucket; the groups, and item counts before the cut."""
    names = ["user_id", "item_id", "event_time", "event_id", "event_type", "region", "value"]
    events = store.read_all([_url(place, name) for name in files], names)
    items = timeline.read(place.processed, "items", [place.category] if place.category else [])
    rows = with_category(history.foldable(events), items, place.category)
    users = pc.dictionary_encode(rows.column("user_id")).combine_chunks()
    borders = store.read(f"{place.folder}/borders.parquet").column("user_id").to_pandas().to_numpy(object)
    of_user = np.searchsorted(borders, users.dictionary.to_pandas().to_numpy(object))
    groups = of_user[users.indices.to_numpy()] if len(of_user) else np.empty(0, np.int64)
    store.write_split(rows, groups, f"{place.folder}/group=", f"part-{number:05d}")
    counts = bucket_counts(rows.filter(pc.is_null(rows.column("dwell_ms"))), place.bucket_minutes)
    store.write(counts, f"{place.folder}/counts/part-{number:05d}.parquet")
    before = pc.less(counts.column("bucket"), place.cut // (place.bucket_minutes * MS_PER_MINUTE))
    known = counts.set_column(3, "count", pc.if_else(before, counts.column("count"), 0))
    totals = known.group_by("item_id").aggregate([("count", "sum")]).rename_columns(["count", "item_id"])
    return np.unique(groups).tolist(), totals


def bucket_counts(rows: pa.Table, minutes: int) -> pa.Table:
    """Interactions by bucket, region and item, sorted so: ``bucket`` int32, ``region``, ``item_id``, ``count`` int32.

    Windows begin at midnight, so whole buckets lie before or behind their borders.
    """
    bucket = rows.column("event_time").to_numpy() // (minutes * MS_PER_MINUTE)
    (regions, region), (items, item) = (device.numbered(rows.column(name)) for name in ("region", "item_id"))
    wide, width = max(len(regions), 1), max(len(items), 1)
    key = (bucket * wide + device.to_host(region)) * width + device.to_host(item)
    key, count = np.unique(key, return_counts=True)
    return pa.table(
        {
            "bucket": pa.array(key // width // wide, pa.int32()),
            "region": pa.array(regions, pa.string()).take(pa.array(key // width % wide)),
            "item_id": pa.array(items, pa.string()).take(pa.array(key % width)),
            "count": pa.array(count, pa.int32()),
        }
    )
