"""Which of all possible rows are made, and their ids: drawn over all groups of users before any row is computed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from contracts.config import Config
from etl.rows import Instants

#: Rows of windows B and C at most: they train and tune the ranker, on some hundred candidates each.
RANKER_ROWS = 8_000
#: A row's id is its user's place among the sorted users with history, times this, plus the place among the user's rows.
ROWS_A_USER = 1 << 24


class Survey(NamedTuple):
    """What a group of users could give.

    Attributes:
        experienced: ids of the users with an interaction before the cut.
        user: id of the user of every possible row.
        as_of: instant of every possible row, ms.
    """

    experienced: np.ndarray
    user: np.ndarray
    as_of: np.ndarray


class Chosen(NamedTuple):
    """Which entries of a group's targets become rows of a window, and the rows' ids."""

    entries: np.ndarray
    row_ids: np.ndarray


def select(surveys: list[Survey], everyone: np.ndarray, instants: Instants, config: Config) -> list[list[Chosen]]:
    """Per group and window, which entries of its targets become rows.

    All of A; of B and C at most ``ranker_users`` users, drawn by seed, and of theirs at most ``RANKER_ROWS``. The draw
    sees ids and instants only, so the number of groups does not change it.
    """
    ids = np.concatenate([part.user for part in surveys])
    user = np.searchsorted(everyone, ids)
    place = np.arange(len(ids))
    nth = place - np.maximum.accumulate(np.where(np.append(True, ids[1:] != ids[:-1]), place, 0))
    row_id = user * ROWS_A_USER + nth
    as_of = np.concatenate([part.as_of for part in surveys])
    group = np.repeat(np.arange(len(surveys)), [len(part.as_of) for part in surveys])
    position = np.concatenate([np.arange(len(part.as_of)) for part in surveys])
    window = instants.window(as_of)
    rng = np.random.default_rng(config.train.seed)
    kept = [window == 0]
    for number in (1, 2):
        here = np.flatnonzero(window == number)
        here = here[np.lexsort((as_of[here], user[here]))]
        present = np.unique(user[here])
        drawn = rng.permutation(present)[: config.train.ranker_users]
        here = here[np.isin(user[here], drawn)]
        here = rng.permutation(here)[:RANKER_ROWS]
        mask = np.zeros(len(user), bool)
        mask[here] = True
        kept.append(mask)
    here = [[(group == number) & mask for mask in kept] for number in range(len(surveys))]
    return [[Chosen(position[mask], row_id[mask]) for mask in masks] for masks in here]
