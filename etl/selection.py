"""Which of all possible rows of windows B and C are made: drawn over all groups of users before any row is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from contracts.config import Config

#: Rows of windows B and C at most: they train and tune the ranker, on some hundred candidates each.
RANKER_ROWS = 8_000
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
    """

    users: pa.Table
    entry: np.ndarray
    window: np.ndarray
    user: np.ndarray
    as_of: np.ndarray


class Chosen(NamedTuple):
    """Which entries of a group's targets become rows of B and of C, and how many users come before the group's own."""

    entries: tuple[np.ndarray, np.ndarray]
    users_before: int


def select(surveys: Sequence[Survey], config: Config) -> list[Chosen]:
    """Per group, which entries of its targets become rows of windows B and C.

    Of each window at most ``ranker_users`` users, drawn by seed, and of theirs at most ``RANKER_ROWS`` rows. The draw
    sees users and instants only, so the number of groups does not change it.
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
        drawn.append(np.sort(rng.permutation(here)[:RANKER_ROWS]))
    return [
        Chosen((entry[b[group[b] == number]], entry[c[group[c] == number]]), int(base))
        for number, base in enumerate(before)
        for b, c in [drawn]
    ]
