"""The baselines by name, what of each is tuned, and the choice, made on window C."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from train.baselines.factors import als, lightfm_warp
from train.baselines.neighbourhood import ease, item_knn_bm25, item_knn_cosine, user_knn
from train.baselines.popularity import popular, popular_recently
from train.baselines.task import Rehearsal, Scores

log = logging.getLogger(__name__)

Grid = Mapping[str, Sequence[float]]


class Baseline(NamedTuple):
    """One of them.

    Attributes:
        fit: from a task and a setting of each name of the grid to scores.
        grid: setting -> the values tried, all combinations of them.
    """

    fit: Callable[..., Scores]
    grid: Grid


#: By the names of ``train.baselines.ALL``.
BASELINES: Mapping[str, Baseline] = {
    "popular": Baseline(popular, {}),
    "popular_recently": Baseline(popular_recently, {"half_life_hours": (0.1, 0.25, 0.5, 1, 3, 12, 48, 168, 336, 720)}),
    "item_knn_cosine": Baseline(item_knn_cosine, {"neighbours": (50, 200, 800)}),
    "item_knn_bm25": Baseline(item_knn_bm25, {"neighbours": (50, 400), "b": (0.0, 0.2, 0.75)}),
    "user_knn": Baseline(user_knn, {"neighbours": (20, 50, 200, 500)}),
    "als": Baseline(als, {"factors": (16, 32, 64), "regularization": (3.0, 10.0, 30.0)}),
    "ease": Baseline(ease, {"regularization": (100.0, 250.0, 500.0, 1000.0)}),
    "lightfm_warp": Baseline(lightfm_warp, {"factors": (32, 64), "epochs": (10, 30)}),
}


def tune(name: str, rehearsal: Rehearsal) -> dict[str, Any]:
    """The best settings of a baseline.

    Args:
        name: of ``BASELINES``.
        rehearsal: on which it is fitted and judged with each combination of the grid.

    Returns:
        ``settings`` (name -> value), ``validation_ndcg_at_10`` of them, ``tried`` (a list of both) and ``seconds``.
    """
    started = time.monotonic()
    tried = []
    for settings in track(combinations(BASELINES[name].grid), f"tune {name}", console=Console(stderr=True)):
        reached = rehearsal.ndcg_at_10(BASELINES[name].fit(rehearsal.task, **settings))
        tried.append({"settings": settings, "validation_ndcg_at_10": round(reached, 5)})
    best = max(tried, key=lambda one: one["validation_ndcg_at_10"])
    said = ", ".join(f"{name} {value:g}" for name, value in best["settings"].items())
    log.info("%s: %s (NDCG@10 %.4f on window C)", name, said or "nothing to tune", best["validation_ndcg_at_10"])
    return {**best, "tried": tried, "seconds": round(time.monotonic() - started, 1)}


def combinations(grid: Grid) -> list[dict[str, float]]:
    """Every combination of a grid's values; the one without settings for an empty grid."""
    return [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
