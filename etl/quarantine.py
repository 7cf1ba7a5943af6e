"""What waits in quarantine, and what people decide about it: try again, let pass, give up.

Rows that are tried again and pass reach the processed zone exactly once: they leave quarantine and arrive in the same
commit, and a copy of an event that is there already stays refused.
"""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa

from contracts import artifacts
from contracts.config import Config
from contracts.errors import ArtifactError
from etl import admission, intake, ledger, store
from etl.admission import Batch, Job
from etl.cluster import Session
from etl.ledger import Ledger

#: Files of one task that tries rows again.
FILES = 64


def summary(config: Config, zone: artifacts.Zones) -> dict[str, Any]:
    """Refused rows by day and reason, and the days that are held back with their reasons."""
    book = _book(config, zone)
    days: dict[str, dict[str, int]] = {}
    for path, reasons in book.refused.items():
        day = days.setdefault(path.split("/")[0], {})
        for reason, rows in reasons.items():
            day[reason] = day.get(reason, 0) + rows
    held = {name: {"rows": each.rows, "reasons": each.reasons} for name, each in sorted(book.held.items())}
    return {**book.counts(), "by_day": dict(sorted(days.items())), "held_days": held}


def show(config: Config, zone: artifacts.Zones, reason: str, day: str, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows that were refused or are held, of a reason and a day ("": all)."""
    book = _book(config, zone)
    urls = [f"{zone.quarantine}/{ledger.REFUSED}/{path}" for path in _chosen(book, reason, day)]
    if day in book.held and not reason:
        urls = [f"{zone.quarantine}/{ledger.HELD}/{path}" for path in book.held[day].files]
    rows: list[dict[str, Any]] = []
    for url in urls:
        for row in store.read(url).to_pylist():
            if len(rows) < limit and (not reason or row["reason"] == reason):
                rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def replay(config: Config, zone: artifacts.Zones, session: Session, log: intake.Log, reason: str, day: str) -> Any:
    """Judge refused rows again, by the rules as they are now."""
    book = _book(config, zone)
    chosen = _chosen(book, reason, day)
    files = [(f"{zone.quarantine}/{ledger.REFUSED}/{path}", 0) for path in chosen]
    batches = [Batch(i, files=tuple(files[at : at + FILES]), reason=reason, again=True) for i, at in _steps(len(files))]
    for path in chosen:
        del book.refused[path]
    return _again(config, zone, session, log, book, batches)


def release(config: Config, zone: artifacts.Zones, session: Session, log: intake.Log, name: str) -> Any:
    """Let a held day pass: its rows are judged one by one, as any others."""
    book = _book(config, zone)
    held = _held(book, name)
    files = [(f"{zone.quarantine}/{ledger.HELD}/{path}", 0) for path in held.files]
    batches = [Batch(i, files=tuple(files[at : at + FILES]), again=True) for i, at in _steps(len(files))]
    del book.held[name]
    book.released.append(name)
    return _again(config, zone, session, log, book, batches)


def drop(config: Config, zone: artifacts.Zones, reason: str, day: str) -> dict[str, Any]:
    """Give up refused rows of a reason and a day ("": all), or a held day; the raw zone keeps them."""
    book = _book(config, zone)
    if day in book.held:
        dropped = book.held.pop(day).rows
    else:
        dropped = 0
        for path in _chosen(book, reason, day):
            given_up = [name for name in book.refused[path] if reason in ("", name)]
            dropped += sum(book.refused[path][name] for name in given_up)
            _without(book, zone, path, given_up)
    book.dropped += dropped
    artifacts.drop_manifest(zone.processed)
    ledger.commit(book, zone)
    return {"dropped_now": dropped, **book.counts()}


def _again(
    config: Config, zone: artifacts.Zones, session: Session, log: intake.Log, book: Ledger, batches: list[Batch]
) -> Any:
    events = sum(book.events.values())
    shift = artifacts.read_manifest(zone.raw)["shift_ms"]
    job = Job(config, zone, book.run + 1, shift, int(time.time() * 1000))
    artifacts.drop_manifest(zone.processed)
    intake.run(book, batches, job, session, log)
    return {"passed": sum(book.events.values()) - events, **book.counts()}


def _steps(files: int) -> list[tuple[int, int]]:
    return list(enumerate(range(0, files, FILES)))


def _chosen(book: Ledger, reason: str, day: str) -> list[str]:
    """Files with refused rows of a reason and a day ("": all)."""
    return sorted(
        path
        for path, reasons in book.refused.items()
        if reason in ("", *reasons) and day in ("", path.split("/")[0], path.split("/")[0].removeprefix("day="))
    )


def _held(book: Ledger, name: str) -> ledger.Held:
    if name not in book.held:
        raise ArtifactError(f"{name!r} is not held back; held: {', '.join(book.held) or 'nothing'}")
    return book.held[name]


def _without(book: Ledger, zone: artifacts.Zones, path: str, reasons: list[str]) -> None:
    """Replace a file of refused rows by one without those of some reasons."""
    left = {name: rows for name, rows in book.refused.pop(path).items() if name not in reasons}
    if left:
        rows = store.read(f"{zone.quarantine}/{ledger.REFUSED}/{path}").cast(admission.REFUSED)
        stays = pa.array([reason in left for reason in rows.column("reason").to_pylist()])
        folder, name = path.split("/")
        renamed = f"{folder}/r{book.run + 1:05d}-{name}"
        store.write(rows.filter(stays), f"{zone.quarantine}/{ledger.REFUSED}/{renamed}")
        book.refused[renamed] = left


def _book(config: Config, zone: artifacts.Zones) -> Ledger:
    """The ledger.

    Raises:
        ArtifactError: when nothing was taken in yet.
    """
    book = ledger.load(zone)
    if book is None:
        raise ArtifactError(f"{zone.processed} holds nothing yet: run `python -m etl run` for {config.name} first")
    return book
