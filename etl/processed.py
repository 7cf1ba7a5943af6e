"""The processed zone's manifest: what the ledger holds, and the windows' borders on the log's clock."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import fsspec

import contracts.events
from contracts import artifacts
from contracts.config import Config
from contracts.errors import ArtifactError
from etl import run_profile, source, statics
from etl.ledger import Ledger


def mapping(config: Config) -> str:
    """Fingerprint of what makes rows of source rows: another one takes everything in anew."""
    code = [*sorted(Path(__file__).parent.glob("*.py")), Path(contracts.events.__file__)]
    return artifacts.fingerprint(config.name, config.source.events, config.source.time_shift, *code)


def rules(config: Config) -> str:
    """Fingerprint of the data set's own rules."""
    return artifacts.fingerprint(config.quality)


def fingerprint(config: Config, book: Ledger) -> str:
    """Of the processed zone: what was taken in, the attributes, and the windows."""
    tables = [config.source.items, config.source.users]
    states = [file_state(file) for table in tables if table.url for file in source.locate(table.url)]
    return artifacts.fingerprint(book.fingerprint, book.version, *tables, *states, config.windows)


def file_state(file: str) -> str:
    """What tells one version of a file from another."""
    if file.startswith("synthetic:"):
        return file
    filesystem, path = fsspec.core.url_to_fs(file)
    return f"{path.rsplit('/', 1)[-1]} {filesystem.size(path)} {filesystem.checksum(path)}"


def publish(config: Config, zone: artifacts.Zones, book: Ledger) -> dict[str, Any]:
    """Write items, users, the profile and the manifest: the last thing that whoever changed the ledger does.

    Raises:
        ArtifactError: when there is nothing to make features of.
    """
    updates = statics.run(config, zone.processed, book.updates)
    ends = borders(config, book.shift)
    counts = book.counts()
    facts = {
        **{name: counts[name] for name in ("rows_in", "events", "quarantined", "held", "dropped")},
        "quarantined_by_reason": book.reasons(),
        "held_days": {name: held.reasons for name, held in sorted(book.held.items())},
        "log_start": book.first,
        "log_end": book.last,
        "shift_ms": book.shift,
        "updates": updates,
        "test_end": book.last + 1,
        **ends,
    }
    _check_log(config, facts)
    run_profile.write(config, zone, book)
    artifacts.write_manifest(zone.processed, fingerprint(config, book), **facts)
    return facts


def borders(config: Config, shift: int) -> dict[str, int]:
    """The windows' dates as instants of the shifted log, ms; what has no date is left out."""
    names = ("retrieval_end", "ranker_end", "cut", "test_end")
    windows = {name: getattr(config.windows, name) for name in names}
    return {name: _midnight(day) + shift for name, day in windows.items() if day}


def _midnight(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), timezone.utc).timestamp() * 1000)


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, timezone.utc).date().isoformat()


def _check_log(config: Config, facts: dict[str, Any]) -> None:
    """Stop before features when there is nothing to make them of."""
    where = config.source.events.url
    if not facts["events"]:
        raise ArtifactError(
            f"{where}: no row passed the quality rules ({facts['quarantined_by_reason']}); look at the quarantine and "
            "correct source.events.columns"
        )
    cut, retrieval_end = facts["cut"], facts["retrieval_end"]
    if not facts["log_start"] < retrieval_end < cut <= facts["log_end"]:
        first, last = (_day(facts[name] - facts["shift_ms"]) for name in ("log_start", "log_end"))
        raise ArtifactError(
            f"{where}: the log goes from {first} to {last}, which must enclose windows.retrieval_end "
            f"({config.windows.retrieval_end}) and windows.cut ({config.windows.cut}); move the windows"
        )
