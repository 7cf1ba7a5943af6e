"""The stage as a whole: ingest, quality, features; what is current is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import fsspec

from contracts import artifacts
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.stack import StackSettings
from etl import cluster, ingest, quality, source, statics


def run(config: Config, settings: StackSettings, force: bool, log: Callable[[str], None]) -> dict[str, Any]:
    """Bring raw, processed, quarantine and features up to date; returns the key figures."""
    started = time.monotonic()
    zone = artifacts.zones(settings.root, config)
    raw, processed, features = fingerprints(config)
    stale = {
        "raw": force or not artifacts.is_current(zone.raw, raw),
        "processed": force or not artifacts.is_current(zone.processed, processed),
        "features": force or not artifacts.is_current(zone.features, features),
    }
    if any(stale.values()):
        rows = sum(
            piece.stop - piece.start for piece in source.pieces(config.source.events.url, 1 << 40, config.source.events)
        )
        with cluster.connect(settings.dask_scheduler, rows) as client:
            _run_stale(config, zone, client, (raw, processed, features), stale, log)
    else:
        log("everything is current: skipped")
    counted, made = artifacts.read_manifest(zone.processed), artifacts.read_manifest(zone.features)
    return {
        **{name: counted[name] for name in ("events", "quarantined", "quarantined_by_reason")},
        **{name: made[name] for name in ("users", "items", "rows")},
        "skipped": not any(stale.values()),
        "seconds": round(time.monotonic() - started, 1),
    }


def _run_stale(
    config: Config,
    zone: artifacts.Zones,
    client: Any,
    prints: tuple[str, str, str],
    stale: dict[str, bool],
    log: Callable[[str], None],
) -> None:
    now_ms = int(time.time() * 1000)
    if stale["raw"]:
        log("ingest")
        ingest.run(config, zone, client, prints[0], now_ms)
    if stale["raw"] or stale["processed"]:
        log("quality")
        artifacts.drop_manifest(zone.processed)
        facts = quality.run(config, zone, client, now_ms)
        statics.run(config, zone.processed)
        shift = artifacts.read_manifest(zone.raw)["shift_ms"]
        ends = borders(config, shift)
        _check_log(config, facts, ends["cut"], ends["retrieval_end"])
        artifacts.write_manifest(zone.processed, prints[1], **facts, shift_ms=shift, **ends)
    # Merlin takes 4 s to import: only when there is something for it to do.
    from etl import features as features_step

    artifacts.drop_manifest(zone.features)
    facts = features_step.run(config, zone, client, log)
    artifacts.write_manifest(zone.features, prints[2], **facts)


def borders(config: Config, shift: int) -> dict[str, int]:
    """The windows' dates as instants of the shifted log, ms."""
    windows = {
        "retrieval_end": config.windows.retrieval_end,
        "ranker_end": config.windows.ranker_end,
        "cut": config.windows.cut,
    }
    return {name: _midnight(day) + shift for name, day in windows.items()}


def _midnight(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), timezone.utc).timestamp() * 1000)


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, timezone.utc).date().isoformat()


def _check_log(config: Config, facts: dict[str, Any], cut: int, retrieval_end: int) -> None:
    """Stop before features when there is nothing to make them of."""
    where = config.source.events.url
    if not facts["events"]:
        raise ArtifactError(
            f"{where}: no row passed the quality rules ({facts['quarantined_by_reason']}); look at the quarantine and "
            "correct source.events.columns"
        )
    if not facts["log_start"] < retrieval_end < cut <= facts["log_end"]:
        first, last = (_day(facts[name] - cut + _midnight(config.windows.cut)) for name in ("log_start", "log_end"))
        raise ArtifactError(
            f"{where}: the log goes from {first} to {last}, which must enclose windows.retrieval_end "
            f"({config.windows.retrieval_end}) and windows.cut ({config.windows.cut}); move the windows"
        )


def fingerprints(config: Config) -> tuple[str, str, str]:
    """Of raw, processed and features: settings, source files and the code of this package."""
    code = artifacts.fingerprint(*sorted(Path(__file__).parent.glob("*.py")))
    tables = config.source
    raw = artifacts.fingerprint(config.name, tables.events, tables.time_shift, _state(tables.events.url), code)
    attributes = [_state(table.url) for table in (tables.items, tables.users) if table.url]
    processed = artifacts.fingerprint(raw, tables, config.windows, attributes)
    train = config.train
    return raw, processed, artifacts.fingerprint(processed, config.features, train.seed, train.ranker_users)


def _state(url: str) -> list[str]:
    """What tells one version of a source's files from another."""
    out = []
    for file in source.locate(url):
        if file.startswith("synthetic:"):
            out.append(file)
            continue
        filesystem, path = fsspec.core.url_to_fs(file)
        out.append(f"{path.rsplit('/', 1)[-1]} {filesystem.size(path)} {filesystem.checksum(path)}")
    return out
