"""One task a group of users: training rows, requests, truth and profiles from the sorted interactions."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import Config, FeatureSettings
from contracts.evaluation import WHOLE_HISTORY, Kind
from contracts.features import FIRST_VALUE, OUT_OF_VOCABULARY
from contracts.request_context import Clock, raw_values
from etl import behaviour, device, encoding, history, profile, store
from etl.device import Array
from etl.history import History, ItemLists
from etl.timeline import Timeline

#: Rows of a group are computed so many at a time, so that memory stays bounded.
QUERIES = 100_000


@dataclasses.dataclass(frozen=True)
class Instants:
    """The windows' borders, ms: A ends at the first, B at the second, C at the cut, the test at the last.

    ``log_end`` is that of the newest event.
    """

    retrieval_end: int
    ranker_end: int
    cut: int
    log_end: int
    test_end: int

    def window(self, as_of: np.ndarray) -> np.ndarray:
        """0 = A, 1 = B, 2 = C, 3 = test, of every instant; 4 = after it."""
        return np.searchsorted([self.retrieval_end, self.ranker_end, self.cut, self.test_end], as_of, side="right")


class Targets(NamedTuple):
    """What was new: one entry a (user, instant), and the item codes of each."""

    user: np.ndarray
    as_of: np.ndarray
    region: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray

    def codes_of(self, chosen: np.ndarray) -> np.ndarray:
        """The item codes of some entries, one after the other."""
        starts, sizes = np.cumsum(self.sizes) - self.sizes, self.sizes[chosen]
        ends = np.cumsum(sizes)
        return self.codes[np.repeat(starts[chosen] - ends + sizes, sizes) + np.arange(sizes.sum())]


def targets(log: History, item_codes: np.ndarray) -> Targets:
    """Every (user, instant) with a catalogue item that the user never met before, and those items."""
    xp = device.arrays()
    code = xp.asarray(item_codes)[log.item]
    new = xp.flatnonzero((profile.neighbours(log)[0] < 0) & (code >= 0))
    user, time = log.user[new], log.time[new]
    first = xp.flatnonzero(device.changes(user) | device.changes(time))
    sizes = xp.concatenate([first[1:], xp.full(min(len(new), 1), len(new))]) - first
    place = new[first]
    user, time, region, codes, sizes = map(
        device.to_host, (log.user[place], log.time[place], log.region[place], code[new], sizes)
    )
    return Targets(user, time, log.regions[region], codes, sizes)


class Known(NamedTuple):
    """Raw columns of both views, user attributes excepted, a row a query; and two of their lists as item numbers."""

    table: pa.Table
    recent: ItemLists
    seen: ItemLists


def features(log: History, user: np.ndarray, as_of: np.ndarray, settings: FeatureSettings, seen: bool) -> Known:
    """What is known as of every query; no seen items without ``seen``."""
    xp = device.arrays()
    low, high = log.before(xp.asarray(user), xp.asarray(as_of))
    recent = behaviour.recent(log, low, high, settings.recent_items)
    found = profile.seen_items(log, low, high if seen else low, settings.max_seen_items)
    table = behaviour.rows(log, user, as_of, settings)
    table = table.append_column("home_region", profile.home_regions(log, low, high))
    names = device.strings(log.items, found.items)
    return Known(table.append_column("seen_item_ids", device.lists(names, found.sizes)), recent, found)


def training_rows(
    log: History,
    found: Targets,
    entries: np.ndarray,
    ids: np.ndarray,
    item_codes: np.ndarray,
    config: Config,
    users: Timeline,
    seen: bool,
) -> Iterator[pa.Table]:
    """The rows of ``features/rows`` for some entries of ``found``, ``QUERIES`` at a time; ``ids`` has those of all."""
    codes = device.arrays().asarray(np.where(item_codes < 0, OUT_OF_VOCABULARY, item_codes))
    for start in range(0, max(len(entries), 1), QUERIES):
        chosen = entries[start : start + QUERIES]
        table = _training_rows(log, found, chosen, codes, config, users, seen)
        yield table.add_column(0, "row_id", pa.array(ids[chosen], pa.int64()))


def _training_rows(
    log: History,
    found: Targets,
    chosen: np.ndarray,
    codes: Array,
    config: Config,
    users: Timeline,
    seen: bool,
) -> pa.Table:
    user, as_of = found.user[chosen], found.as_of[chosen]
    known = features(log, user, as_of, config.features, seen)
    table, user_ids = known.table, device.strings(log.users, user)
    identity = {
        "user_id": user_ids,
        "as_of": pa.array(as_of),
        "region": pa.array(found.region[chosen], pa.string()),
        **attributes(users, user_ids, as_of, config),
    }
    coded = {
        "recent_item_codes": device.lists(codes[known.recent.items], known.recent.sizes, pa.int64()),
        "seen_item_codes": device.lists(codes[known.seen.items], known.seen.sizes, pa.int32()),
        "target_item_codes": device.lists(found.codes_of(chosen), found.sizes[chosen], pa.int32()),
    }
    return pa.table({**identity, **{name: table.column(name) for name in table.column_names}, **coded})


def with_context(table: pa.Table, settings: FeatureSettings, clock: Clock) -> pa.Table:
    """Rows with their request's context as serving sees it: a row that names no region has the user's home."""
    region = pc.if_else(pc.equal(table["region"], ""), table["home_region"], table["region"])
    table = table.set_column(table.column_names.index("region"), "region", region)
    moment = [name for name in settings.context if name != "region"]
    for name, values in raw_values(moment, [], table["as_of"].to_numpy(), clock).items():
        table = table.append_column(name, pa.array(values, pa.string()))
    return table


def attributes(users: Timeline, ids: pa.Array, as_of: np.ndarray | int, config: Config) -> dict[str, pa.Array]:
    """Static user columns of user ids by what changed before an instant; "" where nothing is known."""
    known = users.before(ids, as_of)
    return {name: pc.fill_null(known[name], "") for name in config.features.user_categorical}


def snapshot(log: History, ids: np.ndarray, as_of: int, config: Config, users: Timeline) -> pa.Table:
    """Both views of some users (by id) as of one instant, with ``user_id``."""
    table = features(log, log.number(ids), np.full(len(ids), as_of), config.features, seen=True).table
    user_ids = pa.array(ids, pa.string())
    columns = {"user_id": user_ids, **attributes(users, user_ids, as_of, config)}
    return pa.table({**columns, **{name: table.column(name) for name in table.column_names}})


class Asked(NamedTuple):
    """What a request says beside the user's row.

    Attributes:
        ids: of the requests; None takes the users'.
        kind: one of ``Kind``.
        known: how many of the newest interactions are known.
        excluded: lists of item ids that must not be answered; None excludes nothing.
    """

    ids: pa.Array | None = None
    kind: str = Kind.TEST
    known: int = WHOLE_HISTORY
    excluded: pa.ChunkedArray | None = None


#: The request of a user known as he is.
AS_KNOWN = Asked()


def asked(table: pa.Table, as_of: np.ndarray | int, k: int, what: Asked = AS_KNOWN) -> pa.Table:
    """A snapshot as requests for ``k`` items at an instant, of each user's home region."""
    n = table.num_rows
    columns = {
        "request_id": table["user_id"] if what.ids is None else what.ids,
        "user_id": table["user_id"],
        "kind": pa.array([what.kind] * n, pa.string()),
        "known_events": pa.array(np.full(n, what.known, np.int32)),
        "as_of": pa.array(np.full(n, as_of)),
        "k": pa.array(np.full(n, k, np.int64)),
        "region": pa.array([""] * n, pa.string()),
        "exclude_item_ids": pa.array([[]] * n, pa.list_(pa.string())) if what.excluded is None else what.excluded,
    }
    return pa.table({**columns, **{name: table[name] for name in table.column_names if name != "user_id"}})


def truth(log: History, found: Targets, item_codes: np.ndarray, catalogue: list[str], instants: Instants) -> pa.Table:
    """New catalogue items of the test window, of users who met one before it, by the id of their request."""
    met = device.arrays().asarray(item_codes)[log.item] >= 0
    experienced = device.to_host(device.counted(log.user[met & (log.time < instants.cut)], len(log.users))) > 0
    chosen = np.flatnonzero((instants.window(found.as_of) == 3) & experienced[found.user])
    codes = found.codes_of(chosen)
    users, entry = np.unique(found.user[chosen], return_inverse=True)
    sizes = np.bincount(entry, found.sizes[chosen], len(users)).astype(np.int64)
    names = device.strings(catalogue, codes - FIRST_VALUE)
    return pa.table(
        {
            "request_id": device.strings(log.users, users),
            "user_id": device.strings(log.users, users),
            "item_codes": device.lists(codes, sizes, pa.int32()),
            "item_ids": device.lists(names, sizes),
        }
    )


def read(folder: str) -> History:
    """The interactions of one group of users."""
    return history.build(store.read(folder, history.COLUMNS))


def catalogue_codes(log: History, catalogue: list[str]) -> np.ndarray:
    """Code of every item of the log; -1 outside the catalogue."""
    found = encoding.codes(log.items, catalogue)
    return np.where(found >= FIRST_VALUE, found, -1)
