"""All new raw rows at once: judged by tasks, suspicious days held back, copies refused, and the ledger committed.

Batch files are known by their state, live records by their offsets, so that a second run takes in only what is new.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa

from contracts import artifacts, live_files
from contracts.config import Config
from contracts.live_files import LiveFile
from etl import admission, duplicates, holds, ingest, ledger, source, store, summary
from etl.admission import Batch, Job, Taken
from etl.cluster import Session
from etl.ledger import Held, Ledger

Log = Callable[[str], None]


def history(config: Config, pieces: Sequence[source.Piece], session: Session) -> list[Batch]:
    """Batches of pieces of source files, in their order."""
    newest = [-1] * len(pieces)
    if config.quality.max_disorder_hours:
        ends = session.each("newest times", ingest.newest, pieces, table=config.source.events, now_ms=2**62)
        newest = [
            max([end for other, end in zip(pieces[:i], ends[:i]) if other.url == piece.url], default=0)
            for i, piece in enumerate(pieces)
        ]
    origins = ingest.origins(config.source.events.url)
    return [Batch(i, piece=piece, origin=origins[piece.url], newest=newest[i]) for i, piece in enumerate(pieces)]


def forget(config: Config, zone: artifacts.Zones, pieces: Sequence[source.Piece]) -> None:
    """Remove raw files of source files that are there which no piece of them wrote: they were cut otherwise before."""
    origins = ingest.origins(config.source.events.url)
    written = {admission.raw_name(origins[piece.url], piece.start) for piece in pieces}
    for origin in origins.values():
        store.remove(f"{zone.raw}/history/*/{admission.raw_key(origin)}-*.parquet", keep=written)


def gone(config: Config, zone: artifacts.Zones, start: int) -> list[Batch]:
    """Batches of raw rows whose source file is not there any more: the raw zone keeps them."""
    present = {admission.raw_key(origin) for origin in ingest.origins(config.source.events.url).values()}
    filesystem, root = fsspec.core.url_to_fs(f"{zone.raw}/history")
    files = sorted(filesystem.find(root)) if filesystem.exists(root) else []
    kept = [path for path in files if path.rsplit("/", 1)[-1].partition("-")[0] not in present]
    sized = [(filesystem.unstrip_protocol(path), 0, store.count(filesystem.unstrip_protocol(path))) for path in kept]
    return [Batch(start + i, files=tuple(files)) for i, files in enumerate(_chunks(sized))]


def live(files: Sequence[LiveFile], taken: dict[str, dict[str, int]], before: str, start: int) -> list[Batch]:
    """Batches of live records not yet taken in, of the days of arrival before ``before`` (``day=YYYY-MM-DD``)."""
    new: dict[str, list[tuple[str, int, int]]] = {}
    for file in sorted(files, key=lambda file: (file.day, file.incarnation, file.partition)):
        first = taken.get(file.incarnation, {}).get(str(file.partition), 0)
        if file.day < before and file.last >= first:
            url = file.filesystem.unstrip_protocol(file.path)
            new.setdefault(file.day, []).append((url, first, file.last + 1 - max(first, file.first)))
    chunks = [(day, files) for day, held in new.items() for files in _chunks(held)]
    return [Batch(start + i, day=day, files=tuple(files)) for i, (day, files) in enumerate(chunks)]


def _chunks(files: Sequence[tuple[str, int, int]]) -> list[list[tuple[str, int]]]:
    """Files with the first offset wanted, in groups of about ``admission.ROWS`` rows."""
    out: list[list[tuple[str, int]]] = []
    room = 0
    for url, first, rows in files:
        if not out or rows > room:
            out.append([])
            room = admission.ROWS
        out[-1].append((url, first))
        room -= rows
    return out


def mark_taken(book: Ledger, files: Sequence[LiveFile], before: str) -> None:
    """Note that all live records of the days before ``before`` were taken in."""
    for incarnation, offsets in live_files.ends([file for file in files if file.day < before]).items():
        known = book.live.setdefault(incarnation, {})
        for partition, offset in offsets.items():
            known[str(partition)] = max(known.get(str(partition), 0), offset)


def run(book: Ledger, batches: Sequence[Batch], job: Job, session: Session, log: Log) -> None:
    """Take the batches in and commit ``book``; rows that are tried again must have left it before.

    Args:
        book: the ledger, changed in place.
        batches: in the order of arrival.
        job: what all tasks share; ``job.run`` is the number of this run.
        session: where tasks run.
        log: for what a person must know: the alert of each day that is held back.
    """
    ledger.sweep(ledger.load(job.zone) or book, job.zone)
    taken = session.each("rows judged", admission.take, list(batches), job=job)
    book.rows += sum(each.rows for each in taken)
    before, passed, held = days(book, job.zone)[0], {}, {}
    new = _day_summaries(taken)
    for partition in sorted(new):
        why = _why_held(partition, new[partition], before, new, book, job)
        if why:
            waiting = book.held.get(partition, Held([], {}))
            book.held[partition] = Held(why, {**waiting.files, **_hold(partition, taken, job)})
            held[partition] = new[partition]
            log(f"ALERT: {partition} is held back: {'; '.join(why)}. Look at it: python -m etl quarantine list CONFIG")
        else:
            passed[partition] = new[partition]
            known = [before[partition]] if partition in before else []
            before[partition] = summary.merged([*known, new[partition]])
    taken = [_rehash(each, job) for each in taken]
    known = len(book.events)
    _refuse_copies(book, taken, job, session)
    for each in taken:
        book.span(each.first, each.last)
        for part in each.parts.values():
            book.events.update(part.events)
            book.updates += [path for path in part.updates if path in part.events]
            book.refused.update(part.refused)
    if len(book.events) > known:
        book.version = job.run
    if new:
        book.summaries.append(f"r{job.run:05d}.json")
        document = {"passed": passed, "held": held}
        artifacts.write_json(f"{job.zone.processed}/{ledger.SUMMARIES}/{book.summaries[-1]}", document)
    ledger.commit(book, job.zone)


def days(book: Ledger, zone: artifacts.Zones) -> tuple[dict[str, Any], dict[str, Any]]:
    """Partition -> summary of all its rows that passed, and of those that are held back."""
    passed: dict[str, list[Any]] = {}
    held: dict[str, list[Any]] = {}
    for name in book.summaries:
        document = artifacts.read_json(f"{zone.processed}/{ledger.SUMMARIES}/{name}")
        for partition, found in document["passed"].items():
            passed.setdefault(partition, []).append(found)
        for partition, found in document["held"].items():
            if partition in book.released:
                passed.setdefault(partition, []).append(found)
            elif partition in book.held:
                held.setdefault(partition, []).append(found)
    return (
        {partition: summary.merged(found) for partition, found in passed.items()},
        {partition: summary.merged(found) for partition, found in held.items()},
    )


def _day_summaries(taken: Sequence[Taken]) -> dict[str, Any]:
    """Partition -> summary of its new rows; one of which all rows were refused has nothing to hold back."""
    days: dict[str, list[Any]] = {}
    some: set[str] = set()
    for each in taken:
        for partition, part in each.parts.items():
            if part.summary is not None:
                days.setdefault(partition, []).append(part.summary)
            if part.events:
                some.add(partition)
    return {partition: summary.merged(found) for partition, found in days.items() if partition in some}


def _why_held(
    partition: str, found: Any, accepted: dict[str, Any], new: dict[str, Any], book: Ledger, job: Job
) -> list[str]:
    """Why a partition is suspicious; nothing when it is not, or when a person let it pass."""
    origin = partition.partition("/")[0]
    if partition in book.released:
        return []
    earlier = sorted(name for name in accepted if name.startswith(f"{origin}/") and name < partition)
    whole = summary.merged([accepted[partition], found]) if partition in accepted else found
    days = [accepted[name] for name in earlier[-job.config.quality.hold_history_days :]]
    newest = max(name for name in {*accepted, *new} if name.startswith(f"{origin}/"))
    return holds.reasons(whole, days, job.config.quality, running=partition == newest)


def _hold(partition: str, taken: Sequence[Taken], job: Job) -> dict[str, int]:
    """Move the files of a partition to ``quarantine/held``; file -> rows."""
    held: dict[str, int] = {}
    for each in taken:
        part = each.parts.pop(partition, None)
        if part is None:
            continue
        for folder, kind, files in (
            (f"{job.zone.processed}/{ledger.EVENTS}", "events", part.events),
            (f"{job.zone.quarantine}/{ledger.REFUSED}", "refused", part.refused),
        ):
            for path, rows in files.items():
                name = f"{partition}/{kind}-{path.replace('/', '-')}"
                store.move(f"{folder}/{path}", f"{job.zone.quarantine}/{ledger.HELD}/{name}")
                held[name] = rows if isinstance(rows, int) else sum(rows.values())
    return held


def _rehash(taken: Taken, job: Job) -> Taken:
    """What a task did, with hashes and span of the events that are left when some of its days were held back."""
    paths = [path for part in taken.parts.values() for path in part.events]
    total = sum(rows for part in taken.parts.values() for rows in part.events.values())
    if total == taken.borders[-1]:
        return taken
    url = f"{job.zone.processed}/{ledger.IDS}/{taken.ids}"
    if not paths:
        return taken._replace(borders=duplicates.write(pa.chunked_array([], pa.string()), url), first=0, last=0)
    events = store.read_all(
        [f"{job.zone.processed}/{ledger.EVENTS}/{path}" for path in paths], ["event_id", "event_time"]
    )
    times = events.column("event_time").to_numpy()
    borders = duplicates.write(events.column("event_id"), url)
    return taken._replace(borders=borders, first=int(times.min()), last=int(times.max()))


def _refuse_copies(book: Ledger, taken: Sequence[Taken], job: Job, session: Session) -> None:
    """Merge the hashes of all ids into the ledger's, and move later copies to quarantine."""
    folder = f"{job.zone.processed}/{ledger.IDS}"
    buckets = range(duplicates.BUCKETS)
    new = [
        [(f"{folder}/{each.ids}", int(each.borders[b]), int(each.borders[b + 1])) for each in taken] for b in buckets
    ]
    old = [f"{folder}/{name}" for name in book.ids] or [""] * len(buckets)
    book.ids = [f"r{job.run:05d}-{bucket:02d}.bucket" for bucket in buckets]
    out = [f"{folder}/{name}" for name in book.ids]
    found = session.each("copies", duplicates.merge, new, old, out)
    twice, before = (np.concatenate(hashes) for hashes in zip(*found))
    wanted = np.union1d(twice, before)
    if not len(wanted):
        return
    look = functools.partial(duplicates.suspects, folder=f"{job.zone.processed}/{ledger.EVENTS}", wanted=wanted)
    fresh_files = [(path, i) for i, each in enumerate(taken) for part in each.parts.values() for path in part.events]
    fresh = pd.concat(session.each("copies in this run", look, *zip(*fresh_files)))
    known = fresh.head(0)
    if len(before):
        known = pd.concat(session.each("copies of earlier runs", look, list(book.events), [-1] * len(book.events)))
    for path, rows, refused in session.each(
        "copies refused", admission.refuse, duplicates.copies(fresh, known), job=job
    ):
        part = next(part for each in taken for part in each.parts.values() if path in part.events)
        part.refused[path] = refused
        part.events[path] = rows
        if not rows:
            del part.events[path]
