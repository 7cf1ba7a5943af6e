"""The tasks of the features stage, one a group of users: what could be made of it, and its rows.

Without NVTabular, which takes each worker four seconds to import.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from contracts.features import FIRST_VALUE, MS_PER_DAY, user_profile
from contracts.request_context import Clock
from etl import cold, covisits, device, first_takes, next_events, rows, snapshots, store, timeline
from etl.history import History
from etl.selection import ROWS_A_USER, Chosen, Survey

#: A, B and C are told apart by their borders; "new" holds once more, and whole, the days before the cut that an update
#: may learn from.
WINDOWS = ("A", "B", "C", "new")
#: Beside them, the window that cold start is tuned by (``etl.cold.rehearsal``).
COLD = "cold"
#: Items of a recommendation in the offline evaluation.
K = 100


def catalogue_file(zone: artifacts.Zones) -> str:
    """Where a run keeps the item ids in the order of their codes while it works."""
    return f"{zone.features}/by_user/catalogue.parquet"


def survey(group: str, config: Config, zone: artifacts.Zones, instants: rows.Instants) -> Survey:
    """Look through a group, so that rows can be drawn over all groups before any is computed."""
    log = rows.read(group)
    item_codes = rows.catalogue_codes(log, catalogue(zone))
    found = snapshots.asked(log, rows.targets(log, item_codes), item_codes, instants, config.train)
    counts = device.to_host(device.counted(log.user[log.time < instants.cut], len(log.users)))
    place = np.cumsum(counts > 0) - 1
    window = instants.window(found.as_of)
    entry = np.flatnonzero((window == 1) | (window == 2))
    asked = np.empty(0, np.int64)
    if config.windows.next_events:
        entry = entry[next_events.continuing(log, found.user[entry], found.as_of[entry], config)]
        asked = next_events.possible(log, instants, config)
    users = pa.table({"user_id": pa.array(log.users[counts > 0], pa.string()), "count": counts[counts > 0]})
    there = device.to_host(device.counted(log.region[log.time < instants.cut], len(log.regions)))
    regions = pa.table({"region": pa.array(log.regions, pa.string()), "count": there})
    place = place[found.user[entry]]
    return Survey(users, entry, window[entry].astype(np.int8), place, found.as_of[entry], asked, regions)


def build(
    group: str, number: int, chosen: Chosen, *, config: Config, zone: artifacts.Zones, instants: rows.Instants
) -> dict[str, int]:
    """Write a group's rows, and its part of the files that are put together at the end; the rows by window."""
    log, items = rows.read(group), catalogue(zone)
    item_codes = rows.catalogue_codes(log, items)
    found = rows.targets(log, item_codes)
    users = timeline.read(zone.processed, "users", config.features.user_categorical)
    users = users.of(pa.array(log.users, pa.string()))
    clock = Clock(config.features.timezone, artifacts.read_manifest(zone.processed)["shift_ms"])
    newest = (found.as_of >= instants.cut - config.train.update_days * MS_PER_DAY) & (found.as_of < instants.cut)
    first, (b, c) = np.flatnonzero(instants.window(found.as_of) == 0), chosen.entries
    spans = snapshots.asked(log, found, item_codes, instants, config.train)
    first_rows = _first_rows(log, instants.cut, chosen.users_before)
    made = {"A": (found, first), "B": (spans, b), "C": (spans, c), "new": (found, np.flatnonzero(newest))}
    for window, (whole, part) in made.items():
        ids = _row_ids(whole, first_rows)
        tables = rows.training_rows(log, whole, part, ids, item_codes, config, users, seen=window != "A")
        tables = (rows.with_context(table, config.features, clock) for table in tables)
        store.write_parts(tables, f"{zone.features}/rows/window={window}/part-{number:05d}.parquet")
    rehearsal = cold.rehearsal(log, found, chosen.cold, first_rows, instants, config, users)
    store.write(rehearsal, f"{zone.features}/rows/window={COLD}/part-{number:05d}.parquet")
    stamp = pa.array(np.full(len(log.users), instants.log_end), pa.timestamp("ms", tz="UTC"))
    profiles = rows.snapshot(log, log.users, instants.log_end + 1, config, users).select(profile_columns(config))
    truth = rows.truth(log, found, item_codes, items, instants)
    asked = _asked(log, chosen, item_codes, truth, config, instants, users)
    parts = {
        "requests": asked[0],
        "truth": asked[1],
        "cold_requests": cold.requests(log, chosen.cold, instants.cut, K, config, users),
        "cold_truth": cold.truth(truth, chosen.cold),
        "user_profile": stamped(profiles, stamp),
    }
    if config.features.covisit_half_lives_hours:
        parts["covisits"] = covisits.of(log, item_codes, config.features)
    if config.features.first_takes:
        parts["first_takes"] = first_takes.of(log, item_codes, config.features)
    for name, table in parts.items():
        store.write(table, f"{zone.features}/by_user/{name}/part-{number:05d}.parquet")
    return {window: len(part) for window, (_, part) in made.items()}


def _asked(
    log: History,
    chosen: Chosen,
    item_codes: np.ndarray,
    truth: pa.Table,
    config: Config,
    instants: rows.Instants,
    users: timeline.Timeline,
) -> tuple[pa.Table, pa.Table]:
    """Requests and truth of the test: of every user at the cut, or of single interactions at their instants."""
    if config.windows.next_events:
        place = chosen.next_events
        return next_events.requests(log, place, K, config, users), next_events.truth(log, place, item_codes)
    requests = rows.snapshot(log, log.users_before(instants.cut), instants.cut, config, users)
    return rows.asked(requests, instants.cut, K), truth


def _first_rows(log: History, cut: int, users_before: int) -> np.ndarray:
    """The id of every user's first row, from the user's place among all who did something before the cut."""
    experienced = device.to_host(device.counted(log.user[log.time < cut], len(log.users))) > 0
    return (np.cumsum(experienced) - 1 + users_before) * ROWS_A_USER


def _row_ids(found: rows.Targets, first_rows: np.ndarray) -> np.ndarray:
    """An id for every entry before the cut: those of a user follow his first."""
    place = np.arange(len(found.user))
    first = np.maximum.accumulate(np.where(np.append(True, np.diff(found.user) != 0)[: len(place)], place, 0))
    return first_rows[found.user] + place - first


def catalogue(zone: artifacts.Zones) -> list[str]:
    """Item ids in the order of their codes."""
    return store.read(catalogue_file(zone)).column("item_id").to_pylist()


def profile_columns(config: Config) -> list[str]:
    """Columns of the ``user_profile`` view, its key first."""
    return ["user_id", *(feature.name for feature in user_profile(config.features).features)]


def stamped(profiles: pa.Table, stamp: pa.Array) -> pa.Table:
    """Rows of the view with the two times that Feast asks for."""
    return profiles.add_column(1, "event_timestamp", stamp).add_column(2, "created", stamp)


def write_buckets(counts: Sequence[str], zone: artifacts.Zones) -> None:
    """``buckets.parquet``: counts of catalogue items by bucket, a part at a time."""
    items = pa.array(catalogue(zone), pa.string())

    def parts() -> Iterator[pa.Table]:
        for url in counts:
            table = store.read(url)
            found = pc.index_in(table.column("item_id"), value_set=items).combine_chunks()
            code = pc.cast(pc.add(found, FIRST_VALUE), pa.int32())
            table = table.set_column(2, "item_code", code).filter(pc.is_valid(found))
            yield table.sort_by([("bucket", "ascending"), ("region", "ascending"), ("item_code", "ascending")])

    store.write_parts(parts(), f"{zone.features}/buckets.parquet")
