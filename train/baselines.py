"""What the answers are measured against: popularity and item-item, recomputed in every evaluation by its protocol."""

from __future__ import annotations

import io

import fsspec
import numpy as np

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.features import FIRST_VALUE, MS_PER_MINUTE
from train import item_item
from train.metrics import best
from train.tables import Catalogue, first_interactions, numbers, read

#: Users whose scores over the whole catalogue are held at once.
_CHUNK = 512


def lists(config: Config, zones: Zones, held: Catalogue, user_ids: np.ndarray, until_ms: int) -> dict[str, np.ndarray]:
    """Each baseline's list of item codes, int64 ``[users, 10]``, what the user had seen removed.

    ``popular``: users who ever took the item (counting lines instead is weaker: .037 against .040 on completejourney);
    ``popular_recently``: interactions, halved every ``serve.trending_half_life_hours``; ``item_item``: the table alone.
    """
    users, items = first_interactions(zones, held, until_ms)
    popular = np.bincount(items, minlength=held.size)
    recently = _recent_counts(config, zones, held, until_ms)
    table = np.load(io.BytesIO(fsspec.open(f"{zones.retrieval}/refit/item_item.npz").open().read()), allow_pickle=False)
    order = np.argsort(users, kind="stable")
    starts = np.searchsorted(users[order], np.arange(len(held.user_ids) + 1))
    found: dict[str, list[np.ndarray]] = {"popular": [], "popular_recently": [], "item_item": []}
    for part in np.array_split(held.users(user_ids), max(1, len(user_ids) // _CHUNK)):
        seen = np.zeros((len(part), held.size), bool)
        for row, user in enumerate(part):
            seen[row, items[order[starts[user] : starts[user + 1]]]] = True
        similar = item_item.scores(seen, table["neighbours"], table["weights"])
        for name, scores in (
            ("popular", np.broadcast_to(popular, seen.shape)),
            ("popular_recently", np.broadcast_to(recently, seen.shape)),
            ("item_item", similar),
        ):
            places = best(scores, seen)
            found[name].append(np.where(places >= 0, places + FIRST_VALUE, 0))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _recent_counts(config: Config, zones: Zones, held: Catalogue, until_ms: int) -> np.ndarray:
    """Decayed interactions of the buckets closed before an instant, float64 ``[catalogue]``."""
    table = read(f"{zones.features}/buckets.parquet", ["bucket", "item_code", "count"])
    minutes = config.features.bucket_minutes
    age = until_ms // (minutes * MS_PER_MINUTE) - numbers(table, "bucket").astype(np.float64)
    decay = np.exp2(-age * minutes / (config.serve.trending_half_life_hours * 60))
    weights = np.where(age > 0, numbers(table, "count") * decay, 0.0)
    return np.bincount(numbers(table, "item_code") - FIRST_VALUE, weights, held.size)
