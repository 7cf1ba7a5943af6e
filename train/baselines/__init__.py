"""What the answers are measured against: established recommenders, tuned before the cut, judged on the same requests.

A weak baseline proves nothing, so every one is tuned on window C (fitted before it, judged on it) and then refitted on
everything before the cut. Whoever asks for the names here need not wait for what makes the lists.
"""

from __future__ import annotations

import time
from typing import Any

from contracts.artifacts import Zones, drop_manifest
from contracts.config import Config

#: Made in every evaluation: half a minute.
QUICK = ("popular", "popular_recently", "item_knn_cosine")
#: All of them: minutes, and never again until the data changes.
ALL = (*QUICK, "item_knn_bm25", "user_knn", "als", "ease", "lightfm_warp")

#: For people.
TITLES = {
    "popular": "most popular",
    "popular_recently": "popular lately",
    "item_knn_cosine": "item-kNN, cosine",
    "item_knn_bm25": "item-kNN, BM25",
    "user_knn": "user-kNN, cosine",
    "als": "ALS",
    "ease": "EASE",
    "lightfm_warp": "LightFM, WARP",
}


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Tune and refit all of them, those apart that are there; the next evaluation shows them.

    Returns:
        ``tuned``: name -> its settings and the NDCG@10 that they reached on window C; ``seconds``.
    """
    from train.baselines import made, task
    from train.tables import catalogue

    started = time.monotonic()
    if force:
        drop_manifest(zones.baselines)
    held = catalogue(config, zones)
    _, tuned = made.make(config, zones, held, *task.evaluation(config, zones, held), ALL)
    figures = {name: {key: one[key] for key in ("settings", "validation_ndcg_at_10")} for name, one in tuned.items()}
    return {"tuned": figures, "seconds": round(time.monotonic() - started, 1)}
