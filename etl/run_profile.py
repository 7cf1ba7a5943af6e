"""The profile of the processed zone, gathered from the ledger; ``etl/profile_report.py`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from contracts import artifacts
from contracts.config import Config
from etl import intake, ledger, profile_report, store, summary
from etl.ledger import Ledger


def write(config: Config, zone: artifacts.Zones, book: Ledger) -> None:
    """Write ``profile/``: counts, days, reasons and examples, and the drift against the run before."""
    counts = book.counts()
    passed, held = intake.days(book, zone)
    reasons: dict[str, dict[str, int]] = {}
    for path, found in book.refused.items():
        day = reasons.setdefault(_day(path.split("/")[0]), {})
        for reason, rows in found.items():
            day[reason] = day.get(reason, 0) + rows
    profile = {
        "name": config.name,
        "run": str(book.run),
        "made_at": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "counts": {
            **{name: counts[name] for name in ("rows_in", "quarantined", "held", "dropped")},
            "processed": counts["events"],
        },
        "quarantined_by_reason": book.reasons(),
        "quarantined_by_day": reasons,
        "days": {**_by_day(passed), **_by_day(held)},
        "held": {_day(name): each.reasons for name, each in book.held.items()},
        "examples": _examples(book, zone),
        "previous": profile_report.previous(zone.profile),
    }
    profile_report.write(zone.profile, profile)


def _day(partition: str) -> str:
    """``history/day=2024-03-01`` as ``2024-03-01``."""
    return partition.rpartition("day=")[2]


def _by_day(partitions: Mapping[str, Any]) -> dict[str, Any]:
    """Summaries by day, those of live and batch rows of one day together."""
    days: dict[str, list[Any]] = {}
    for partition, found in partitions.items():
        days.setdefault(_day(partition), []).append(found)
    return {day: summary.merged(found) for day, found in days.items()}


def _examples(book: Ledger, zone: artifacts.Zones) -> dict[str, Any]:
    """A refused row of each reason."""
    found: dict[str, Any] = {}
    for path, reasons in sorted(book.refused.items()):
        if set(reasons) - set(found):
            for row in store.read(f"{zone.quarantine}/{ledger.REFUSED}/{path}").to_pylist():
                found.setdefault(row["reason"], {name: value for name, value in row.items() if value is not None})
    return found
