"""``etl quarantine``: people look at refused rows and held days and decide; the shell around ``etl/quarantine.py``."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from contracts import artifacts
from contracts.config import Config
from contracts.stack import StackSettings
from etl import cluster, ledger, processed, quarantine
from etl.intake import Log


class Choice(NamedTuple):
    """Which rows are meant: of a reason, of a day ("": all), and how many are shown."""

    reason: str
    day: str
    limit: int


def decide(config: Config, settings: StackSettings, action: str, choice: Choice, log: Log) -> dict[str, Any]:
    """Do what was decided, and publish the processed zone when that changed it.

    Raises:
        ArtifactError: when nothing was taken in yet, or when what is meant is not there.
    """
    zone = artifacts.zones(settings.root, config)
    if action == "list":
        return quarantine.summary(quarantine.open_book(config, zone))
    if action == "show":
        book = quarantine.open_book(config, zone)
        return {"rows": quarantine.show(book, zone, choice.reason, choice.day, choice.limit)}
    with ledger.locked(zone):
        book = quarantine.open_book(config, zone)
        before = book.counts()
        if action == "drop":
            quarantine.drop(book, zone, choice.reason, choice.day)
        else:
            waiting = before["quarantined"] + before["held"]
            with cluster.connect(settings.dask_scheduler, waiting, settings.root) as session:
                if action == "replay":
                    quarantine.replay(book, config, zone, session, log, choice.reason, choice.day)
                else:
                    quarantine.release(book, config, zone, session, log, choice.day)
        processed.publish(config, zone, book)
    after = book.counts()
    return {"passed": after["events"] - before["events"], "given_up": after["dropped"] - before["dropped"], **after}


def tell(console: Console, action: str, figures: dict[str, Any]) -> None:
    """Show what came of it, for the eye."""
    if action == "show":
        for row in figures["rows"]:
            console.print({name: _short(value) for name, value in row.items()})
        console.print(f"{len(figures['rows'])} rows")
        return
    if action == "list":
        refused = Table("day", "reason", "rows", title="Refused rows")
        for day, reasons in figures["refused"].items():
            for reason, rows in sorted(reasons.items()):
                refused.add_row(day, reason, f"{rows:,}")
        held = Table("origin and day", "rows", "why", title="Days that are held back")
        for name, each in figures["held_days"].items():
            held.add_row(name, f"{each['rows']:,}", "\n".join(each["reasons"]))
        console.print(refused, held)
    counts = Table(title="rows_in = events + quarantined + held + dropped", show_header=False)
    for name, value in figures.items():
        if isinstance(value, int):
            counts.add_row(name, f"{value:,}")
    console.print(counts)


def _short(value: object) -> str:
    """A value that came from outside, as a terminal can bear it."""
    text = str(value)
    return repr(text if len(text) <= 80 else f"{text[:77]}…")[1:-1]
