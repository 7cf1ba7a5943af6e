"""The stage as a whole: what is new is taken in and judged, and features are made anew where that changed anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple

from contracts import artifacts, live_files
from contracts.config import Config
from contracts.live_files import LiveFile
from contracts.stack import StackSettings
from etl import cluster, features, ingest, intake, ledger, processed, source, statics
from etl.admission import Job
from etl.cluster import Session
from etl.ledger import Ledger

#: Which live records a run takes in -> below which folder of arrival: of the days that are over (UTC), all, or none.
LIVE = {"closed": "day={:%Y-%m-%d}", "all": "day=9999", "none": ""}

Log = Callable[[str], None]


class News(NamedTuple):
    """What a run has to take in.

    Attributes:
        book: the ledger to go on with; a new one when everything is taken in anew.
        anew: whether it is.
        pieces: of source files not yet taken in.
        states: source file -> its state now.
        live: all live files.
        before: live records are taken of days of arrival below this.
    """

    book: Ledger
    anew: bool
    pieces: list[source.Piece]
    states: dict[str, str]
    live: list[LiveFile]
    before: str

    @property
    def some(self) -> bool:
        """Whether there is anything new."""
        taken = self.book.live
        fresh = (
            file.day < self.before and file.last >= taken.get(file.incarnation, {}).get(str(file.partition), 0)
            for file in self.live
        )
        return self.anew or bool(self.pieces) or any(fresh)


def run(config: Config, settings: StackSettings, force: bool, log: Log, live: str = "closed") -> dict[str, Any]:
    """Bring raw, processed, quarantine and features up to date; returns the key figures.

    Args:
        config: the data set.
        settings: root and cluster.
        force: take everything in anew.
        log: for a line about each step.
        live: one of ``LIVE``.
    """
    started, start_seconds = time.monotonic(), 0.0
    zone = artifacts.zones(settings.root, config)
    with ledger.locked(zone):
        news = look(config, zone, force, LIVE[live].format(datetime.now(timezone.utc)))
        current = not news.some and artifacts.is_current(zone.processed, processed.fingerprint(config, news.book))
        if current and artifacts.is_current(zone.features, features_fingerprint(config, zone)):
            log("everything is current: skipped")
        else:
            rows = sum(piece.stop - piece.start for piece in news.pieces) or news.book.rows
            with cluster.connect(settings.dask_scheduler, rows, settings.root) as session:
                log(f"tasks run at {session.dashboard_link}")
                start_seconds = session.start_seconds
                if not current:
                    take_in(config, zone, news, session, log)
                make_features(config, zone, session, log)
            current = False
    counted, made = artifacts.read_manifest(zone.processed), artifacts.read_manifest(zone.features)
    return {
        **{name: counted[name] for name in ("rows_in", "events", "quarantined", "held", "dropped")},
        "quarantined_by_reason": counted["quarantined_by_reason"],
        "profile": f"{zone.profile}/profile.html",
        **{name: made[name] for name in ("users", "items", "rows")},
        "skipped": current,
        "cluster_seconds": round(start_seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def look(config: Config, zone: artifacts.Zones, force: bool, before: str) -> News:
    """Compare source files and live zone with the ledger."""
    mapping, book = processed.mapping(config), ledger.load(zone)
    files = ingest.origins(config.source.events.url)
    states = {origin: processed.file_state(file) for file, origin in files.items()}
    changed = book is not None and any(book.history.get(name, state) != state for name, state in states.items())
    anew = force or book is None or book.fingerprint != mapping or changed
    if anew or book is None:
        book = Ledger(mapping, run=book.run if book else 0, released=book.released if book else [])
    pieces = [
        piece
        for index, (file, origin) in enumerate(files.items())
        if origin not in book.history
        for piece in source.file_pieces(file, index, ingest.PIECE_ROWS, config.source.events)
    ]
    return News(book, anew, pieces, states, live_files.live_files(zone), before)


def take_in(config: Config, zone: artifacts.Zones, news: News, session: Session, log: Log) -> None:
    """Take in what is new, and publish the processed zone."""
    book, now_ms = news.book, int(time.time() * 1000)
    artifacts.drop_manifest(zone.processed)
    statics.run(config, zone.processed, book.updates)
    if news.some:
        if news.anew:
            if config.source.time_shift == "end_at_now":
                args = {"table": config.source.events, "now_ms": now_ms}
                ends = session.each("newest times", ingest.newest, news.pieces, **args)
                book.shift = ingest.whole_day_shift(max(ends, default=0), now_ms)
        elif book.rules != processed.rules(config):
            log(
                "the rules of [quality] have changed: rows judged before stay as they are; "
                "`etl quarantine replay` tries the refused ones again, --force judges all"
            )
        batches = intake.history(config, news.pieces, session)
        batches += intake.gone(config, zone, len(batches)) if news.anew else []
        batches += intake.live(news.live, book.live, news.before, len(batches))
        book.rules = processed.rules(config)
        book.history.update(news.states)
        intake.mark_taken(book, news.live, news.before)
        job = Job(config, zone, book.run + 1, book.shift, now_ms)
        intake.run(book, batches, job, session, log)
        if news.anew:
            intake.forget(config, zone, news.pieces)
    facts = processed.publish(config, zone, book)
    for line in statics.remarks(facts["updates"]):
        log(line)


def features_fingerprint(config: Config, zone: artifacts.Zones) -> str:
    """Of the features zone: the processed zone and the settings of features."""
    made_of = artifacts.read_manifest(zone.processed)["fingerprint"]
    train, table = config.train, config.source.context
    context = [processed.file_state(file) for file in source.locate(table.url)] if table.url else []
    settings = (train.seed, train.ranker_users, train.ranker_rows, train.horizon_days, train.update_days)
    return artifacts.fingerprint(made_of, config.features, *settings, table, *context)


def make_features(config: Config, zone: artifacts.Zones, session: Session, log: Log) -> None:
    """Fill the features zone, unless it is current."""
    mark = features_fingerprint(config, zone)
    if artifacts.is_current(zone.features, mark):
        return
    artifacts.drop_manifest(zone.features)
    book = ledger.load(zone)
    assert book, "the processed zone was published"
    facts = features.run(config, zone, book.events, session, log)
    artifacts.write_manifest(zone.features, mark, **facts)
