"""The sources that know no attributes, only who took what: item-item, ALS and the histories of users.

They are closed forms or fits of seconds, so that an update makes them anew from everything.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
from scipy import sparse

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.features import FIRST_VALUE
from contracts.user_user import Histories
from train import als, item_item, stored
from train.tables import Catalogue, first_interactions, last_seen

log = logging.getLogger(__name__)


def write(config: Config, zones: Zones, zone: str, held: Catalogue, until: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Write the sources' files as of an instant; places of the items that somebody took, and the figures."""
    settings, started = config.train, time.monotonic()
    users, items = first_interactions(zones, held, until)
    log.info("collaborative filtering: %d pairs of %d items", len(users), held.size)
    codes, strengths = item_item.neighbours(
        users,
        items,
        held.size,
        settings.item_item_regularization,
        settings.item_item_regularization_power,
        settings.item_item_neighbours,
        settings.item_item_items,
    )
    stored.write_arrays(zone, "item_item.npz", neighbours=codes, weights=strengths)
    facts: dict[str, Any] = {"interactions": len(users), "item_item_seconds": round(time.monotonic() - started, 1)}
    for name in ("als.npy", "user_user.npz"):
        stored.drop(zone, name)
    if settings.als_factors:
        started = time.monotonic()
        taken = sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), (len(held.user_ids), held.size))
        factors = als.item_factors(
            taken[np.diff(taken.indptr) > 0], settings.als_factors, settings.als_regularization, settings.seed
        )
        stored.write_array(zone, "als.npy", factors)
        facts["als_seconds"] = round(time.monotonic() - started, 1)
    if settings.user_user_users:
        latest = last_seen(zones, held, until)
        kept = histories(users, items, latest, settings.user_user_users)
        codes = held.codes_of_users()[kept.users]
        kept = kept._replace(users=np.where(codes >= FIRST_VALUE, codes, -1))  # who has no code cannot ask as himself
        stored.write_arrays(zone, "user_user.npz", **kept._asdict())
        facts["user_user_users"] = len(kept.users)
    return items, facts


def histories(users: np.ndarray, items: np.ndarray, latest: np.ndarray, most: int) -> Histories:
    """What the users of late took.

    Args:
        users: int64 ``[pairs]``, places, rising.
        items: int64 ``[pairs]``, places.
        latest: int64, by a user's place, when he was last active.
        most: users at most, those who were active last.
    """
    active = np.unique(users)
    active = np.sort(active[np.argsort(-latest[active], kind="stable")[:most]])
    place = np.searchsorted(active, users)
    kept = active[np.minimum(place, len(active) - 1)] == users
    sizes = np.bincount(place[kept], minlength=len(active))
    return Histories(active, np.r_[0, np.cumsum(sizes)].astype(np.int64), items[kept].astype(np.int32))
