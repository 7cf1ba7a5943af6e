"""Which of all possible rows of windows B and C are made: drawn over all groups of users before any row is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from contracts.config import Config
from contracts.evaluation import COLD_STEPS

#: Users whose cold start is looked at, at most, and the interactions before the cut that they need.
COLD_USERS, COLD_HISTORY = 1_000, max(COLD_STEPS)
#: A row's id is its user's place among the sorted users with history, times this, plus the place among the user's rows.
ROWS_A_USER = 1 << 24


class Survey(NamedTuple):
    """What a group of users could give.

    Attributes:
        users: ``user_id`` and ``count`` (interactions before the cut) of the users who have some, sorted.
        entry: of every possible row of windows B and C, its place among the group's targets.
        window: 1 = B, 2 = C.
        user: its user's place in ``users``.
        as_of: its instant, ms.
        next_events: positions in the log of the interactions that could be asked for (``etl/next_events.py``).
        regions: ``region`` and ``count`` (the same) of the regions that the group's events name.
    """

    users: pa.Table
    entry: np.ndarray
    window: np.ndarray
    user: np.ndarray
    as_of: np.ndarray
    next_events: np.ndarray
    regions: pa.Table


class Chosen(NamedTuple):
    """What is made of a group.

    Attributes:
        entries: which of its targets become rows of B and of C.
        users_before: how many users come before the group's own.
        cold: ids of the users whose cold start is looked at, sorted.
        next_events: positions in its log of the interactions that are asked for.
    """

    entries: tuple[np.ndarray, np.ndarray]
    users_before: int
    cold: np.ndarray
    next_events: np.ndarray


def select(surveys: Sequence[Survey], config: Config) -> list[Chosen]:
    """Per group, which entries of its targets become rows of windows B and C, and whose cold start is looked at.

    Of each window at most ``ranker_users`` users, drawn by seed, and of theirs at most ``ranker_rows`` rows; for cold
    start at most ``COLD_USERS`` with enough history, whatever they do after the cut. The draws see users and instants
    only, so the number of groups does not change them.
    """
    sizes = [part.users.num_rows for part in surveys]
    before = np.cumsum([0, *sizes])[:-1]
    user = np.concatenate([part.user + base for part, base in zip(surveys, before)])
    as_of = np.concatenate([part.as_of for part in surveys])
    window = np.concatenate([part.window for part in surveys])
    entry = np.concatenate([part.entry for part in surveys])
    group = np.repeat(np.arange(len(surveys)), [len(part.entry) for part in surveys])
    rng = np.random.default_rng(config.train.seed)
    drawn = []
    for number in (1, 2):
        here = np.flatnonzero(window == number)
        here = here[np.lexsort((as_of[here], user[here]))]
        present = np.unique(user[here])
        chosen = rng.permutation(present)[: config.train.ranker_users]
        here = here[np.isin(user[here], chosen)]
        drawn.append(np.sort(rng.permutation(here)[: config.train.ranker_rows]))
    cold = _cold_users(surveys, config.train.seed)
    next_events = _next_events(surveys, config)
    return [
        Chosen(
            (entry[b[group[b] == number]], entry[c[group[c] == number]]), int(base), cold[number], next_events[number]
        )
        for number, base in enumerate(before)
        for b, c in [drawn]
    ]


def _cold_users(surveys: Sequence[Survey], seed: int) -> list[np.ndarray]:
    """Per group, the ids of the drawn users with enough history."""
    ids = [part.users["user_id"].to_numpy() for part in surveys]
    enough = np.concatenate([part.users["count"].to_numpy() >= COLD_HISTORY for part in surveys])
    drawn = np.zeros(len(enough), bool)
    drawn[np.random.default_rng([seed, COLD_HISTORY]).permutation(np.flatnonzero(enough))[:COLD_USERS]] = True
    ends = np.cumsum([len(part) for part in ids])
    return [part[chosen] for part, chosen in zip(ids, np.split(drawn, ends[:-1]))]


def _next_events(surveys: Sequence[Survey], config: Config) -> list[np.ndarray]:
    """Per group, the positions of the drawn interactions that are asked for."""
    sizes = [len(part.next_events) for part in surveys]
    order = np.random.default_rng([config.train.seed, 3]).permutation(sum(sizes))
    drawn = np.zeros(sum(sizes), bool)
    drawn[order[: config.windows.next_events]] = True
    return [part.next_events[chosen] for part, chosen in zip(surveys, np.split(drawn, np.cumsum(sizes)[:-1]))]
