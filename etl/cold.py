"""Requests of users as if only their newest interactions were known: what the cold-start curve is drawn from.

The same users are asked for with each number of known interactions, under ids that no model knows; attributes and home
region stay. What a user really has seen is excluded from every answer, so that lists differ by what is known only, not
by how many of the user's favourites may be listed. ``train`` tunes by the same, asked at
the beginning of window C.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import Config
from contracts.evaluation import COLD_STEPS, Kind
from etl import device, rows
from etl.history import History
from etl.timeline import Timeline


def request_ids(user_ids: pa.Array | pa.ChunkedArray, known: int) -> pa.Array:
    """Ids of the requests, and of the users that nobody knows; no id of a log is likely to look like it."""
    return pc.binary_join_element_wise(Kind.COLD, str(known), user_ids, ":")


def requests(log: History, ids: np.ndarray, as_of: int, k: int, config: Config, users: Timeline) -> pa.Table:
    """Requests for users (by id) at an instant, one for each number of ``COLD_STEPS``."""
    whole = rows.snapshot(log, ids, as_of, config, users)
    parts = []
    for known in COLD_STEPS:
        table = rows.snapshot(log.newest(ids, as_of, known), ids, as_of, config, users)
        names = request_ids(whole["user_id"], known)
        for name, column in (("user_id", names), ("home_region", whole["home_region"])):
            table = table.set_column(table.column_names.index(name), name, column)
        asked = rows.Asked(names, Kind.COLD, known, whole["seen_item_ids"])
        parts.append(rows.asked(table, as_of, k, asked))
    return _by_user(parts)


def rehearsal(
    log: History,
    found: rows.Targets,
    ids: np.ndarray,
    first_rows: np.ndarray,
    instants: rows.Instants,
    config: Config,
    users: Timeline,
) -> pa.Table:
    """``rows/window=cold``: requests at the beginning of window C, and what was taken in it.

    Args:
        log: the interactions of a group of users.
        found: what was new, and when (``etl.rows.targets``).
        ids: of the users who may be asked for; those without enough history by then, or without anything new in C, are
            left out.
        first_rows: int64 ``[users of the log]``, ids of a user's first row.
        instants: the windows' borders.
        config: the data set.
        users: their attributes over time.
    """
    start = instants.ranker_end
    asked_for = device.to_host(device.counted(log.user[log.time < start], len(log.users))) >= max(COLD_STEPS)
    asked_for &= np.isin(log.users.astype(str), ids.astype(str))
    entry = np.flatnonzero((instants.window(found.as_of) == 2) & asked_for[found.user])
    people, place = np.unique(found.user[entry], return_inverse=True)
    sizes = np.bincount(place, found.sizes[entry], len(people)).astype(np.int64)
    taken = device.lists(found.codes_of(entry), sizes, pa.int32())
    table = requests(log, log.users[people], start, 0, config, users)
    person = np.repeat(np.arange(len(people)), len(COLD_STEPS))
    added = {
        "row_id": pa.array(first_rows[people][person] + np.tile(np.arange(len(COLD_STEPS)), len(people))),
        "person": pa.array(log.users[people], pa.string()).take(pa.array(person)),
        "target_item_codes": taken.take(pa.array(person)),
    }
    return pa.table({**added, **{name: table[name] for name in table.column_names}})


def truth(whole: pa.Table, ids: np.ndarray) -> pa.Table:
    """``truth`` of the requests of users (by id), out of that of all."""
    own = whole.filter(pc.is_in(whole["user_id"], value_set=pa.array(ids, pa.string())))
    return _by_user([own.set_column(0, "request_id", request_ids(own["user_id"], known)) for known in COLD_STEPS])


def _by_user(parts: list[pa.Table]) -> pa.Table:
    """Tables over the same users, put together so that a user's rows follow each other."""
    places = np.arange(len(parts) * parts[0].num_rows).reshape(len(parts), -1)
    return pa.concat_tables(parts).take(places.T.ravel())
