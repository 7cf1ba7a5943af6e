"""``raw/history`` -> ``processed/events`` and ``quarantine``: every row to exactly one of them.

The rules derive from ``contracts.events`` (``FIELDS``, ``LIMITS``) and are checked in the order of ``validate``, so
that a row gets the reason which the collector would give. An item that the item table lacks is no error: the log may
know it first.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from contracts.events import FIELDS, LIMITS, EventType, Reason
from etl import store

#: Days of one task.
DAYS = 24


class Rule(NamedTuple):
    """A way of being wrong: ``broken`` tells of every row whether it is."""

    reason: Reason
    text: str
    broken: np.ndarray


class Checked(NamedTuple):
    """What one task found: rows kept and refused, and a hash of every kept id (for duplicates across tasks)."""

    kept: int
    refused: dict[str, int]
    ids: np.ndarray
    first: int
    last: int


def run(config: Config, zone: artifacts.Zones, client: Any, now_ms: int) -> dict[str, Any]:
    """Fill processed/events and quarantine; returns counts for the manifest."""
    store.clear(f"{zone.processed}/events")
    store.clear(zone.quarantine)
    days = store.days(f"{zone.raw}/history")
    parts = [tuple(days[i : i + DAYS]) for i in range(0, len(days), DAYS)]
    origin = f"{config.name}:history"
    found = client.gather(
        client.map(_check, parts, range(len(parts)), zone=zone, origin=origin, now_ms=now_ms, pure=False)
    )
    dropped = _repeated(found, parts, zone, client)
    again = {
        i: client.submit(_check, parts[i], i, zone=zone, origin=origin, now_ms=now_ms, repeated=rows, pure=False)
        for i, rows in dropped.items()
    }
    found = [client.gather(again[i]) if i in again else part for i, part in enumerate(found)]
    reasons = sum((Counter(part.refused) for part in found), Counter())
    return {
        "events": sum(part.kept for part in found),
        "quarantined": sum(reasons.values()),
        "quarantined_by_reason": dict(sorted(reasons.items())),
        "log_start": min((part.first for part in found if part.kept), default=0),
        "log_end": max((part.last for part in found if part.kept), default=0),
    }


def rules(rows: pa.Table, now_ms: int) -> Iterator[Rule]:
    """Every rule over event rows (``etl.ingest.SCHEMA``), in the order of ``contracts.events.validate``."""
    for field in FIELDS:
        values = rows.column(field.name)
        yield Rule(
            Reason.WRONG_TYPE,
            f"{field.name} is a {field.kind}",
            _mask(pc.starts_with(rows.column("unreadable"), f"{field.name}=")),
        )
        if field.kind == "double":
            yield Rule(Reason.WRONG_TYPE, f"{field.name} is finite", _mask(pc.invert(pc.is_finite(values))))
        if field.kind == "string":
            text = f"{field.name} has at most {LIMITS.max_id_chars} characters"
            yield Rule(Reason.TOO_LONG, text, _mask(pc.greater(pc.utf8_length(values), LIMITS.max_id_chars)))
    kind = rows.column("event_type")
    yield Rule(Reason.MISSING_FIELD, "event_type is required", _mask(pc.is_null(kind)))
    known = pa.array([member.value for member in EventType])
    yield Rule(Reason.UNKNOWN_TYPE, "event_type is known", ~_mask(pc.is_in(kind, value_set=known)))
    for field in FIELDS:
        needing = pa.array([member.value for member in field.required_by], pa.string())
        absent = pc.and_(pc.is_null(rows.column(field.name)), pc.is_in(kind, value_set=needing))
        yield Rule(Reason.MISSING_FIELD, f"{field.name} is required", _mask(absent))
    yield from _ranges(rows, now_ms)


def _ranges(rows: pa.Table, now_ms: int) -> Iterator[Rule]:
    time, quantity = rows.column("event_time"), rows.column("quantity")
    early, late = pc.less(time, LIMITS.min_event_time), pc.greater(time, now_ms + LIMITS.max_ahead_ms)
    text = f"{LIMITS.min_event_time} <= event_time <= now"
    yield Rule(Reason.TIME_OUT_OF_RANGE, text, _mask(pc.or_(early, late)))
    outside = pc.or_(pc.less(quantity, LIMITS.min_quantity), pc.greater(quantity, LIMITS.max_quantity))
    text = f"{LIMITS.min_quantity} <= quantity <= {LIMITS.max_quantity}"
    yield Rule(Reason.QUANTITY_OUT_OF_RANGE, text, _mask(outside))
    for name in ("value", "position"):
        yield Rule(Reason.NEGATIVE_VALUE, f"{name} >= 0", _mask(pc.less(rows.column(name), 0)))


def judge(rows: pa.Table, now_ms: int) -> tuple[np.ndarray, list[Rule]]:
    """Index of the first broken rule of every row (-1 = none), and the rules."""
    verdict, found = np.full(rows.num_rows, -1, np.int16), list(rules(rows, now_ms))
    for i, rule in enumerate(found):
        verdict[(verdict < 0) & rule.broken] = i
    return verdict, found


def _check(
    days: tuple[str, ...],
    number: int,
    zone: artifacts.Zones,
    origin: str,
    now_ms: int,
    repeated: np.ndarray | None = None,
) -> Checked:
    """Judge some days and write them; ``repeated`` are positions, among the kept rows, of later copies of an event."""
    rows = store.read_days(f"{zone.raw}/history", days)
    verdict, found = judge(rows, now_ms)
    if repeated is not None:
        found.append(Rule(Reason.DUPLICATE, "event_id is unique", np.empty(0, bool)))
        verdict[np.flatnonzero(verdict < 0)[repeated]] = len(found) - 1
        # What the first pass wrote: a day may have nothing left to overwrite it with.
        for day in days:
            store.clear(f"{zone.processed}/events/{day}")
    kept, refused = rows.filter(pa.array(verdict < 0)), rows.filter(pa.array(verdict >= 0))
    which = verdict[verdict >= 0]
    name = f"part-{number:05d}"
    if kept.num_rows:
        store.write_by_day(kept.drop(["unreadable"]), f"{zone.processed}/events", name)
    if refused.num_rows:
        labels = np.array([[rule.reason.value, rule.text] for rule in found], object)[which]
        refused = refused.append_column("reason", pa.array(labels[:, 0], pa.string()))
        refused = refused.append_column("rule", pa.array(labels[:, 1], pa.string()))
        refused = refused.append_column("source", pa.array([origin] * refused.num_rows))
        store.write_by_day(refused, zone.quarantine, name)
    ids = store.hash64(kept.column("event_id").to_pandas().to_numpy(object))
    bounds = pc.min_max(kept.column("event_time")).as_py()
    reasons = Counter(found[i].reason.value for i in which)
    return Checked(kept.num_rows, dict(reasons), ids, bounds["min"] or 0, bounds["max"] or 0)


def _repeated(
    found: list[Checked], parts: list[tuple[str, ...]], zone: artifacts.Zones, client: Any
) -> dict[int, np.ndarray]:
    """Task number -> positions among its kept rows of events whose id came before (in an earlier day, file or row).

    Hashes find the suspects over all tasks; the ids themselves decide, so that a chance collision costs nothing.
    """
    hashes = np.concatenate([part.ids for part in found]) if found else np.empty(0, np.uint64)
    unique, counts = np.unique(hashes, return_counts=True)
    suspects = unique[counts > 1]
    if not len(suspects):
        return {}
    numbers = [i for i, part in enumerate(found) if np.isin(part.ids, suspects).any()]
    read = functools.partial(_suspects, zone=zone, suspects=suspects)
    frames = client.gather([client.submit(read, parts[i], i, pure=False) for i in numbers])
    rows = pd.concat(frames, ignore_index=True)
    later = rows[rows["event_id"].duplicated()]
    return {int(part): group["row"].to_numpy() for part, group in later.groupby("part")}


def _suspects(days: tuple[str, ...], number: int, zone: artifacts.Zones, suspects: np.ndarray) -> pd.DataFrame:
    written = set(store.days(f"{zone.processed}/events"))
    kept = store.read_days(f"{zone.processed}/events", [day for day in days if day in written], ["event_id"])
    ids = kept.column("event_id").to_pandas().to_numpy(object)
    row = np.flatnonzero(np.isin(store.hash64(ids), suspects))
    return pd.DataFrame({"event_id": ids[row], "part": number, "row": row})


def _mask(values: Any) -> np.ndarray:
    """An Arrow boolean column as numpy; null (nothing to judge) is no breach."""
    return np.asarray(pc.fill_null(values, False))
