"""One task a group of users: training rows, requests, truth and profiles from the sorted interactions."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import Config, FeatureSettings
from contracts.features import FIRST_VALUE
from etl import behaviour, encoding, history, profile, store
from etl.history import History, lists, ranges, take

#: Rows of a group are computed so many at a time, so that memory stays bounded.
QUERIES = 100_000


@dataclasses.dataclass(frozen=True)
class Instants:
    """The windows' borders, ms: A ends at the first, B at the second, C at the cut; ``log_end`` is the newest event."""

    retrieval_end: int
    ranker_end: int
    cut: int
    log_end: int

    def window(self, as_of: np.ndarray) -> np.ndarray:
        """0 = A, 1 = B, 2 = C, 3 = test, of every instant."""
        return np.searchsorted([self.retrieval_end, self.ranker_end, self.cut], as_of, side="right")


class Targets(NamedTuple):
    """What was new: one entry a (user, instant), and the item codes of each."""

    user: np.ndarray
    as_of: np.ndarray
    region: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray


def targets(log: History, item_codes: np.ndarray) -> Targets:
    """Every (user, instant) with a catalogue item that the user never met before, and those items."""
    new = np.flatnonzero((profile.neighbours(log)[0] < 0) & (item_codes[log.item] >= 0))
    user, time = log.user[new], log.time[new]
    first = np.flatnonzero(np.concatenate([[True], (np.diff(user) != 0) | (np.diff(time) != 0)])) if len(new) else new
    sizes = np.diff(np.concatenate([first, [len(new)]])).astype(np.int64)
    region = log.regions[log.region[new[first]]]
    return Targets(user[first], time[first], region, item_codes[log.item[new]], sizes)


def features(log: History, user: np.ndarray, as_of: np.ndarray, settings: FeatureSettings, seen: bool) -> pa.Table:
    """Raw columns of both views, user attributes excepted, as of every query; no seen items without ``seen``."""
    table = behaviour.rows(log, user, as_of, settings)
    low, high = log.before(user, as_of)
    table = table.append_column("home_region", pa.array(profile.home_regions(log, low, high), pa.string()))
    found = profile.seen_items(log, low, high if seen else low, settings.max_seen_items)
    return table.append_column("seen_item_ids", lists(take(log.items, found.items), found.sizes))


def training_rows(
    log: History,
    found: Targets,
    entries: np.ndarray,
    ids: np.ndarray,
    config: Config,
    catalogue: list[str],
    users: pd.DataFrame,
    seen: bool,
) -> Iterator[pa.Table]:
    """The rows of ``features/rows`` for some entries of ``found``, ``QUERIES`` at a time; ``ids`` has those of all."""
    codes = encoding.codes(log.items, catalogue)
    for start in range(0, max(len(entries), 1), QUERIES):
        chosen = entries[start : start + QUERIES]
        table = _training_rows(log, found, chosen, codes, config, users, seen)
        yield table.add_column(0, "row_id", pa.array(ids[chosen], pa.int64()))


def _training_rows(
    log: History,
    found: Targets,
    chosen: np.ndarray,
    codes: np.ndarray,
    config: Config,
    users: pd.DataFrame,
    seen: bool,
) -> pa.Table:
    user, as_of = found.user[chosen], found.as_of[chosen]
    table = features(log, user, as_of, config.features, seen)
    position, _ = ranges((np.cumsum(found.sizes) - found.sizes)[chosen], np.cumsum(found.sizes)[chosen])
    identity = {
        "user_id": take(log.users, user),
        "as_of": pa.array(as_of),
        "region": pa.array(found.region[chosen], pa.string()),
        **attributes(log.users[user], users, config),
    }
    coded = {
        "recent_item_codes": _coded(table.column("recent_item_ids"), codes, log, pa.int64()),
        "seen_item_codes": _coded(table.column("seen_item_ids"), codes, log, pa.int32()),
        "target_item_codes": lists(pa.array(found.codes[position], pa.int32()), found.sizes[chosen]),
    }
    return pa.table({**identity, **{name: table.column(name) for name in table.column_names}, **coded})


def attributes(ids: np.ndarray, users: pd.DataFrame, config: Config) -> dict[str, pa.Array]:
    """Static user columns of user ids; "" where nothing is known. ``users`` is indexed by ``user_id``."""
    known = users.reindex(ids)
    names = config.features.user_categorical
    return {name: pa.array(known[name].fillna("").to_numpy(object), pa.string()) for name in names}


def snapshot(log: History, ids: np.ndarray, as_of: int, config: Config, users: pd.DataFrame) -> pa.Table:
    """Both views of some users (by id) as of one instant, with ``user_id``."""
    table = features(log, log.number(ids), np.full(len(ids), as_of), config.features, seen=True)
    columns = {"user_id": pa.array(ids, pa.string()), **attributes(ids, users, config)}
    return pa.table({**columns, **{name: table.column(name) for name in table.column_names}})


def asked(table: pa.Table, as_of: int, k: int) -> pa.Table:
    """A snapshot as requests for ``k`` items at an instant, of each user's home region."""
    n = table.num_rows
    table = table.add_column(1, "as_of", pa.array(np.full(n, as_of)))
    table = table.add_column(2, "k", pa.array(np.full(n, k, np.int64)))
    return table.add_column(3, "region", pa.array([""] * n, pa.string()))


def truth(log: History, found: Targets, item_codes: np.ndarray, catalogue: list[str], cut: int) -> pa.Table:
    """New catalogue items from the cut on, of users who met a catalogue item before it."""
    experienced = np.zeros(len(log.users), bool)
    experienced[log.user[(log.time < cut) & (item_codes[log.item] >= 0)]] = True
    chosen = np.flatnonzero((found.as_of >= cut) & experienced[found.user])
    position, _ = ranges((np.cumsum(found.sizes) - found.sizes)[chosen], np.cumsum(found.sizes)[chosen])
    users, first = np.unique(found.user[chosen], return_index=True)
    ends = np.cumsum(found.sizes[chosen])
    sizes = np.diff(np.concatenate([[0], ends[np.append(first[1:], len(chosen)) - 1]])) if len(users) else first
    codes = found.codes[position]
    names = take(np.array(catalogue, object), codes - FIRST_VALUE)
    return pa.table(
        {
            "user_id": take(log.users, users),
            "item_codes": lists(pa.array(codes, pa.int32()), sizes),
            "item_ids": lists(names, sizes),
        }
    )


def read(folder: str) -> History:
    """The interactions of one group of users."""
    return history.build(store.read(folder, history.COLUMNS))


def catalogue_codes(log: History, catalogue: list[str]) -> np.ndarray:
    """Code of every item of the log; -1 outside the catalogue."""
    found = encoding.codes(log.items, catalogue)
    return np.where(found >= FIRST_VALUE, found, -1)


def _coded(column: pa.ChunkedArray, codes: np.ndarray, log: History, kind: pa.DataType) -> pa.Array:
    """Lists of item ids as lists of codes."""
    values = column.combine_chunks()
    numbers = pc.index_in(values.flatten(), value_set=pa.array(log.items, pa.string()))
    flat = pa.array(codes[numbers.to_numpy(zero_copy_only=False).astype(np.int64)], kind)
    return pa.ListArray.from_arrays(values.offsets, flat)
