"""One task of raw rows: kept in the raw zone where they are new, judged, and written as events or as refused rows.

A batch is a piece of a source file, some files of the live zone, or rows that wait in quarantine and are tried again.
What a task writes counts only once the ledger names it (``etl/ledger.py``).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from contracts.errors import ArtifactError
from etl import changes, duplicates, ingest, ledger, quality, source, store, summary
from etl.quality import Context

#: Raw rows read again from files, about, of one task.
ROWS = 500_000
#: Columns of a refused row.
REFUSED = ingest.SCHEMA.append(pa.field("reason", pa.string())).append(pa.field("rule", pa.string()))


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one task takes in.

    Attributes:
        number: place in the order of arrival.
        day: the day of arrival of live rows (``day=2026-11-24``); "" where the day of the event counts.
        piece: a piece of a source file, or None.
        origin: the piece's file, as ids and ``source`` name it.
        newest: newest time before the piece in its file, ms; -1 where that is of no interest.
        files: parquet files with raw rows, and the first offset that is wanted of each.
        reason: of the files' rows, try only those refused for this reason ("": all).
        again: whether the rows are in the ledger's count already.
    """

    number: int
    day: str = ""
    piece: source.Piece | None = None
    origin: str = ""
    newest: int = -1
    files: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    again: bool = False


class Job(NamedTuple):
    """What all tasks of a run share."""

    config: Config
    zone: artifacts.Zones
    run: int
    shift: int
    now_ms: int


@dataclasses.dataclass
class Part:
    """What a task found of one partition (an origin and a day).

    Attributes:
        events: file -> rows.
        refused: file -> reason -> rows.
        updates: those of the events' files that hold updates of items or users.
        summary: of the new rows (``etl/summary.py``); None when they were tried again.
    """

    events: dict[str, int] = dataclasses.field(default_factory=dict[str, int])
    refused: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict[str, dict[str, int]])
    updates: list[str] = dataclasses.field(default_factory=list[str])
    summary: Any = None


class Taken(NamedTuple):
    """What one task did: rows it read anew, its parts by partition, its file of hashes with the buckets' borders."""

    rows: int
    parts: dict[str, Part]
    ids: str
    borders: np.ndarray
    first: int
    last: int


def take(batch: Batch, job: Job) -> Taken:
    """Judge a batch and write what it holds."""
    name = f"r{job.run:05d}-{batch.number:05d}.parquet"
    rows, untouched = _rows(batch, job)
    verdict, rules = quality.judge(rows, context(job), _behind(rows, batch))
    good = pa.array(verdict < 0)
    kept = rows.select(ingest.EVENTS.names)
    kept = kept.filter(good) if len(rules) else kept
    refused = _refused(rows, verdict, rules)
    refused = pa.concat_tables([untouched, refused]) if untouched.num_rows else refused
    parts: dict[str, Part] = {}

    def part(day: str) -> Part:
        return parts.setdefault(f"live/{batch.day}" if batch.day else f"history/{day}", Part())

    updating = changes.among(kept)
    for day, found in store.by_day(kept):
        store.write(found, f"{job.zone.processed}/{ledger.EVENTS}/{day}/{name}")
        part(day).events[f"{day}/{name}"] = found.num_rows
        if updating and changes.among(found):
            part(day).updates.append(f"{day}/{name}")
    for day, found in store.by_day(refused):
        store.write(found, f"{job.zone.quarantine}/{ledger.REFUSED}/{day}/{name}")
        part(day).refused[f"{day}/{name}"] = dict(Counter(found.column("reason").to_pylist()))
    if not batch.again:
        for day, found in [(batch.day, rows)] if batch.day else store.by_day(rows):
            if found.num_rows:
                part(day).summary = summary.summarise(found)
    bounds = pc.min_max(kept.column("event_time")).as_py()
    ids = f"{name}.hashes"
    borders = duplicates.write(kept.column("event_id"), f"{job.zone.processed}/{ledger.IDS}/{ids}")
    return Taken(0 if batch.again else rows.num_rows, parts, ids, borders, bounds["min"] or 0, bounds["max"] or 0)


def refuse(copies: duplicates.Copies, job: Job) -> tuple[str, int, dict[str, int]]:
    """Move the later copies out of a file that ``take`` wrote: the file, its rows now, its refused rows by reason."""
    url = f"{job.zone.processed}/{ledger.EVENTS}/{copies.path}"
    rows = store.read(url)
    stays = np.ones(rows.num_rows, bool)
    stays[copies.rows] = False
    moved = raw(rows.filter(pa.array(~stays)))
    moved = moved.append_column("reason", pa.repeat(pa.scalar("duplicate"), moved.num_rows))
    moved = moved.append_column("rule", pa.repeat(pa.scalar("event_id is unique"), moved.num_rows))
    target = f"{job.zone.quarantine}/{ledger.REFUSED}/{copies.path}"
    if artifacts.exists(target):
        moved = pa.concat_tables([store.read(target).cast(REFUSED), moved.cast(REFUSED)])
    store.write(moved, target)
    if stays.any():
        store.write(rows.filter(pa.array(stays)), url)
    else:
        store.clear(url)
    return copies.path, int(stays.sum()), dict(Counter(moved.column("reason").to_pylist()))


def context(job: Job) -> Context:
    """Clock, rules and references of a run."""
    settings = job.config.quality
    tables = {"item_id": "items", "user_id": "users"}
    known = {
        name: store.read(f"{job.zone.processed}/{tables[name]}.parquet", [name]).column(name).combine_chunks()
        for name in settings.references
    }
    return Context(job.now_ms, settings, known)


def raw(table: pa.Table) -> pa.Table:
    """A table of events, of refused or of live rows as raw rows (``ingest.SCHEMA``)."""
    if "incarnation" in table.column_names:
        place = pc.binary_join_element_wise(
            pc.binary_join_element_wise("topic:events", pc.cast(table.column("partition"), pa.string()), "/p"),
            table.column("incarnation"),
            "/",
        )
        table = table.append_column("source", place)
    columns = [
        table.column(field.name) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in ingest.SCHEMA
    ]
    return pa.table(columns, names=ingest.SCHEMA.names).cast(ingest.SCHEMA)


def _rows(batch: Batch, job: Job) -> tuple[pa.Table, pa.Table]:
    """The rows to judge, and refused rows that stay as they are."""
    if batch.piece:
        table = job.config.source.events
        rows = source.read(batch.piece, list(table.columns.values()))
        rows = ingest.map_rows(rows, table, job.config.name, batch.origin, batch.piece.start, job.shift)
        for day, found in store.by_day(rows):
            store.write(found, f"{job.zone.raw}/history/{day}/{raw_name(batch.origin, batch.piece.start)}")
        return rows, REFUSED.empty_table()
    tables = []
    for url, first in batch.files:
        try:
            table = store.read(url)
        except FileNotFoundError:
            message = f"{url} went while it was read: the lake writer merges files of past hours; run again"
            raise ArtifactError(message) from None
        tables.append(table.filter(pc.greater_equal(table.column("offset"), first)) if first else table)
    if not batch.reason:
        return pa.concat_tables([raw(table) for table in tables]), REFUSED.empty_table()
    found = pa.concat_tables([table.cast(REFUSED) for table in tables])
    chosen = pc.equal(found.column("reason"), batch.reason)
    return raw(found.filter(chosen)), found.filter(pc.invert(chosen))


def raw_name(origin: str, start: int) -> str:
    """The name of the raw files, one a day, of the piece of a source file that begins with row ``start``."""
    return f"{raw_key(origin)}-{start:010d}.parquet"


def raw_key(origin: str) -> str:
    """How the names of the raw files of a source file begin."""
    return artifacts.fingerprint(origin)


def _behind(rows: pa.Table, batch: Batch) -> np.ndarray | None:
    """How far each row's time falls behind the newest before it in its file, ms int64 ``[rows]``; 0 without a time."""
    if batch.newest < 0:
        return None
    time = np.asarray(pc.fill_null(rows.column("event_time"), -1))
    newest = np.maximum.accumulate(np.concatenate([[batch.newest], time]))[:-1]
    return np.where(time < 0, 0, np.maximum(newest - time, 0))


def _refused(rows: pa.Table, verdict: np.ndarray, rules: list[quality.Rule]) -> pa.Table:
    """The rows that broke a rule, with its reason and text."""
    refused = rows.filter(pa.array(verdict >= 0))
    which = pa.array(verdict[verdict >= 0])
    reasons = pa.array([rule.reason.value for rule in rules], pa.string()).take(which)
    texts = pa.array([rule.text for rule in rules], pa.string()).take(which)
    return refused.append_column("reason", reasons).append_column("rule", texts)
