"""Which files the processed and quarantine zones consist of: one document, replaced whole by whoever changes them.

A run writes files under names of its own and then replaces the ledger: that is its commit. Files that the ledger does
not name are left by a run that died, and the next one sweeps them away. So a run, a replay and a drop happen whole or
not at all, and every raw row is in exactly one place: ``rows = events + quarantined + held + dropped``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fsspec

from contracts import artifacts
from contracts.errors import ArtifactError

#: Folders below a zone, whose files the ledger names.
EVENTS, IDS, SUMMARIES = "events", "ids", "summaries"
REFUSED, HELD = "refused", "held"


@dataclasses.dataclass
class Held:
    """A day of one origin that is held back: why, and its files below ``quarantine/held`` with their rows."""

    reasons: list[str]
    files: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows that wait here."""
        return sum(self.files.values())


@dataclasses.dataclass
class Ledger:
    """What was committed.

    Attributes:
        fingerprint: of the settings and the code that judged; another one starts a ledger anew.
        run: number of the last commit.
        version: number of the last commit that added events.
        rows: raw rows that were taken in.
        shift: milliseconds added to every time of the source (``time_shift``), decided once.
        rules: fingerprint of the data set's rules by which the last rows were judged.
        history: source file (``ingest.origins``) -> its state when it was taken in.
        live: incarnation -> partition -> first offset that was not taken in.
        events: file below ``processed/events`` -> rows.
        updates: those of them that hold updates of items or users.
        refused: file below ``quarantine/refused`` -> reason -> rows.
        held: origin and day (``history/day=2024-03-01``) -> what is held of it.
        released: origins and days that a person let pass; never held again.
        dropped: rows that a person gave up.
        ids: files below ``processed/ids``: sorted hashes of all event ids, a file for each of ``duplicates.BUCKETS``.
        summaries: files below ``processed/summaries``, one a run.
        first, last: times of the oldest and newest event, ms; 0 and 0 when there is none.
    """

    fingerprint: str
    run: int = 0
    version: int = 0
    rows: int = 0
    shift: int = 0
    rules: str = ""
    history: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    live: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict[str, dict[str, int]])
    events: dict[str, int] = dataclasses.field(default_factory=dict[str, int])
    updates: list[str] = dataclasses.field(default_factory=list[str])
    refused: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict[str, dict[str, int]])
    held: dict[str, Held] = dataclasses.field(default_factory=dict[str, Held])
    released: list[str] = dataclasses.field(default_factory=list[str])
    dropped: int = 0
    ids: list[str] = dataclasses.field(default_factory=list[str])
    summaries: list[str] = dataclasses.field(default_factory=list[str])
    first: int = 0
    last: int = 0

    def reasons(self) -> dict[str, int]:
        """Reason -> quarantined rows."""
        return dict(sorted(sum(map(Counter, self.refused.values()), Counter[str]()).items()))

    def counts(self) -> dict[str, int]:
        """Rows by where they are."""
        return {
            "rows_in": self.rows,
            "events": sum(self.events.values()),
            "quarantined": sum(self.reasons().values()),
            "held": sum(held.rows for held in self.held.values()),
            "dropped": self.dropped,
        }

    def span(self, first: int, last: int) -> None:
        """Widen the log's span by that of new events (0 and 0: there were none)."""
        if last:
            self.first, self.last = min(self.first or first, first), max(self.last, last)


def load(zone: artifacts.Zones) -> Ledger | None:
    """The committed ledger; None when there is none."""
    url = _url(zone)
    if not artifacts.exists(url):
        return None
    raw = artifacts.read_json(url)
    return Ledger(**{**raw, "held": {name: Held(**held) for name, held in raw["held"].items()}})


def commit(ledger: Ledger, zone: artifacts.Zones) -> None:
    """Make ``ledger`` the state of the zones, and take away what it no longer names.

    Raises:
        ArtifactError: when rows would be lost or doubled; nothing is changed then.
    """
    counts = ledger.counts()
    if 2 * counts["rows_in"] != sum(counts.values()):
        raise ArtifactError(f"{_url(zone)}: expected rows_in = events + quarantined + held + dropped, got {counts}")
    ledger.run += 1
    artifacts.write_json(_url(zone), dataclasses.asdict(ledger))
    sweep(ledger, zone)


def sweep(ledger: Ledger, zone: artifacts.Zones) -> None:
    """Remove the files that the ledger does not name: parts of a run that died, or that a commit replaced."""
    held = [path for each in ledger.held.values() for path in each.files]
    for folder, names in (
        (f"{zone.processed}/{EVENTS}", ledger.events),
        (f"{zone.processed}/{IDS}", ledger.ids),
        (f"{zone.processed}/{SUMMARIES}", ledger.summaries),
        (f"{zone.quarantine}/{REFUSED}", ledger.refused),
        (f"{zone.quarantine}/{HELD}", held),
    ):
        filesystem, root = fsspec.core.url_to_fs(folder)
        if not filesystem.exists(root):
            continue
        known = {f"{root}/{name}" for name in names}
        for path in filesystem.find(root):
            if path not in known:
                filesystem.rm_file(path)
                with contextlib.suppress(OSError):  # others are in it still; an object store has no folders
                    filesystem.rmdir(path.rpartition("/")[0])


@contextlib.contextmanager
def locked(zone: artifacts.Zones) -> Iterator[None]:
    """Keep other etl commands of the same zones out; the lock ends with the process, however it ends.

    On an object store there is no such lock: run one etl command at a time there.

    Raises:
        ArtifactError: when another process is at work.
    """
    filesystem, path = fsspec.core.url_to_fs(f"{zone.processed}.lock")
    if "file" not in filesystem.protocol:
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            message = (
                f"{zone.processed}: another etl command (process {file.read() or 'unknown'}) is at work; wait for it"
            )
            raise ArtifactError(message) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _url(zone: artifacts.Zones) -> str:
    return f"{zone.processed}/ledger.json"
