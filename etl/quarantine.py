"""What waits in quarantine, and what can become of it: tried again, let pass, given up.

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


def open_book(config: Config, zone: artifacts.Zones) -> Ledger:
    """The ledger of a zone.

    Raises:
        ArtifactError: when nothing was taken in yet.
    """
    book = ledger.load(zone)
    if book is None:
        raise ArtifactError(f"{zone.processed} holds nothing yet: run `python -m etl run` for {config.name} first")
    return book


def summary(book: Ledger) -> dict[str, Any]:
    """Counts, refused rows by day and reason, and the days that are held back with their reasons."""
    days: dict[str, dict[str, int]] = {}
    for path, reasons in book.refused.items():
        day = days.setdefault(path.split("/")[0], {})
        for reason, rows in reasons.items():
            day[reason] = day.get(reason, 0) + rows
    held = {name: {"rows": each.rows, "reasons": each.reasons} for name, each in sorted(book.held.items())}
    return {**book.counts(), "refused": dict(sorted(days.items())), "held_days": held}


def show(book: Ledger, zone: artifacts.Zones, reason: str, day: str, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows that were refused (of a reason and a day; "": all) or, by its full name, of a held day."""
    urls = [f"{zone.quarantine}/{ledger.REFUSED}/{path}" for path in _chosen(book, reason, day)]
    if day in book.held:
        urls = [f"{zone.quarantine}/{ledger.HELD}/{path}" for path in book.held[day].files]
    rows: list[dict[str, Any]] = []
    for url in urls:
        for row in store.read(url).to_pylist():
            if len(rows) < limit and reason in ("", row.get("reason", "")):
                rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def replay(
    book: Ledger, config: Config, zone: artifacts.Zones, session: Session, log: intake.Log, reason: str, day: str
) -> None:
    """Judge refused rows of a reason and a day ("": all) again, by the rules as they are now."""
    chosen = _chosen(book, reason, day)
    _again(book, [f"{zone.quarantine}/{ledger.REFUSED}/{path}" for path in chosen], reason, config, zone, session, log)


def release(book: Ledger, config: Config, zone: artifacts.Zones, session: Session, log: intake.Log, name: str) -> None:
    """Let a held day pass: its rows are judged one by one, as any others."""
    held = _held(book, name)
    book.released.append(name)
    _again(book, [f"{zone.quarantine}/{ledger.HELD}/{path}" for path in held.files], "", config, zone, session, log)


def drop(book: Ledger, zone: artifacts.Zones, reason: str, day: str) -> None:
    """Give up refused rows of a reason and a day ("": all), or a held day; the raw zone keeps them."""
    if day in book.held or "/" in day:
        book.dropped += _held(book, day).rows
        del book.held[day]
    else:
        for path in _chosen(book, reason, day):
            given_up = {name for name in book.refused[path] if reason in ("", name)}
            book.dropped += sum(book.refused[path][name] for name in given_up)
            _without(book, zone, path, given_up)
    artifacts.drop_manifest(zone.processed)
    ledger.commit(book, zone)


def _held(book: Ledger, name: str) -> ledger.Held:
    if name not in book.held:
        raise ArtifactError(f"--day: {name!r} is not held back; held: {', '.join(book.held) or 'nothing'}")
    return book.held[name]


def _again(
    book: Ledger,
    urls: list[str],
    reason: str,
    config: Config,
    zone: artifacts.Zones,
    session: Session,
    log: intake.Log,
) -> None:
    """Take the rows of some files of the quarantine zone out of the ledger, and in again."""
    files = [(url, 0) for url in urls]
    starts = range(0, len(files), FILES)
    batches = [Batch(i, files=tuple(files[at : at + FILES]), reason=reason, again=True) for i, at in enumerate(starts)]
    gone = {url.removeprefix(f"{zone.quarantine}/{ledger.REFUSED}/") for url in urls}
    book.refused = {path: reasons for path, reasons in book.refused.items() if path not in gone}
    book.held = {name: held for name, held in book.held.items() if name not in book.released}
    artifacts.drop_manifest(zone.processed)
    job = Job(config, zone, book.run + 1, book.shift, int(time.time() * 1000))
    intake.run(book, batches, job, session, log)


def _chosen(book: Ledger, reason: str, day: str) -> list[str]:
    """Files with refused rows of a reason and a day ("": all); the day with or without ``day=``."""
    return sorted(
        path
        for path, reasons in book.refused.items()
        if reason in ("", *reasons) and day.removeprefix("day=") in ("", path.split("/")[0].removeprefix("day="))
    )


def _without(book: Ledger, zone: artifacts.Zones, path: str, given_up: set[str]) -> None:
    """Replace a file of refused rows by one without those of some reasons."""
    left = {name: rows for name, rows in book.refused.pop(path).items() if name not in given_up}
    if left:
        rows = store.read(f"{zone.quarantine}/{ledger.REFUSED}/{path}").cast(admission.REFUSED)
        stays = pa.array([name in left for name in rows.column("reason").to_pylist()])
        folder, _, name = path.partition("/")
        renamed = f"{folder}/r{book.run + 1:05d}-{name.partition('-')[2]}"
        store.write(rows.filter(stays), f"{zone.quarantine}/{ledger.REFUSED}/{renamed}")
        book.refused[renamed] = left
