"""Rows of windows B and C as the test asks: of a user at one instant, for all that he will take within a horizon.

Without a horizon a row is an instant at which something new was taken, and what was new then: the next click, the next
basket. A list that is to hold for a month is learned better from months.
"""

from __future__ import annotations

import numpy as np

from contracts.features import MS_PER_DAY
from contracts.model_settings import TrainSettings
from etl import device
from etl.history import History
from etl.rows import Instants, Targets


def asked(log: History, found: Targets, item_codes: np.ndarray, instants: Instants, settings: TrainSettings) -> Targets:
    """What rows of windows B and C ask: ``found`` without a horizon; with one, an entry a user and snapshot.

    Snapshots are ``horizon_days`` apart from the beginning of each window on, of users who met a catalogue item before;
    what is left of a window behind its last whole horizon asks for nothing. Labels never pass the end of the window,
    a window shorter than a horizon included: what B learns from is over when C begins, and C when the test does.

    Args:
        log: the interactions of a group of users.
        found: what was new, and when (``etl.rows.targets``).
        item_codes: of ``log.items``, -1 outside the catalogue.
        instants: the windows' borders.
        settings: for the horizon.
    """
    if not settings.horizon_days:
        return found
    horizon = settings.horizon_days * MS_PER_DAY
    met = device.arrays().asarray(item_codes)[log.item] >= 0
    parts = []
    for start, end in ((instants.retrieval_end, instants.ranker_end), (instants.ranker_end, instants.cut)):
        for as_of in range(start, max(end - horizon, start) + 1, horizon):
            known = device.to_host(device.counted(log.user[met & (log.time < as_of)], len(log.users))) > 0
            parts.append(_within(found, as_of, min(as_of + horizon, end), known))
    whole = Targets(*map(np.concatenate, zip(*parts)))
    order = np.argsort(whole.user, kind="stable")
    return Targets(
        whole.user[order], whole.as_of[order], whole.region[order], whole.codes_of(order), whole.sizes[order]
    )


def _within(found: Targets, as_of: int, end: int, known: np.ndarray) -> Targets:
    """One entry a known user: all that was new to him from ``as_of`` until ``end``."""
    chosen = np.flatnonzero((found.as_of >= as_of) & (found.as_of < end) & known[found.user])
    users, entry = np.unique(found.user[chosen], return_inverse=True)
    sizes = np.bincount(entry, found.sizes[chosen], len(users)).astype(np.int64)
    # No region of its own, as in a request: that of home is then meant.
    return Targets(users, np.full(len(users), as_of), np.full(len(users), ""), found.codes_of(chosen), sizes)
