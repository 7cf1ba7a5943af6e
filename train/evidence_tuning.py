"""What window C decides of cold start: how much must be known of a user before he is answered as himself.

Two numbers (``contracts.blending.Evidence``), chosen so that window C's own requests are answered best while the curve
of those of whom little is known (``etl.cold.rehearsal``) neither falls nor lies below trending.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from contracts.artifacts import Zones, read_manifest
from contracts.blending import Evidence, by_evidence
from contracts.config import Config
from contracts.features import ranker_continuous
from train.metrics import K, ndcg
from train.ranking_rows import Candidates, load
from train.tables import numbers, read

#: The window of ``candidates/`` that holds the requests of whom little is known.
COLD = "cold"
#: Halves that are tried; the least answers whoever has done anything as himself.
PERSONAL = (0.001, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0)
RANKER = (0.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0)
#: What NDCG@10 that the curve lacks counts against NDCG@10 of window C's requests.
_SHORTFALL = 10.0


@dataclasses.dataclass(frozen=True)
class Lists:
    """Candidates of requests side by side, float64 ``[requests, m]`` where nothing else is said; NaN-free.

    Attributes:
        logged: ``contracts.blending.personal_score``; -inf where padded.
        two_tower: standardised scores.
        trending: from 0 to 1.
        in_session: the part of the final score that the running session adds.
        label: bool, whether it was taken.
        relevant: int ``[requests]``, items taken.
        evidence: int ``[requests]``, what is known of the user.
    """

    logged: np.ndarray
    two_tower: np.ndarray
    trending: np.ndarray
    in_session: np.ndarray
    label: np.ndarray
    relevant: np.ndarray
    evidence: np.ndarray

    def judged(self, halves: Evidence) -> np.ndarray:
        """NDCG@10 of each request as it would be answered, float64 ``[requests]``."""
        parts = by_evidence(self.logged, self.two_tower, self.trending, self.evidence[:, None], halves)
        return self._ndcg(np.where(np.isfinite(self.logged), sum(parts) + self.in_session, -np.inf))

    def trending_alone(self) -> np.ndarray:
        """The same of the list that everybody gets."""
        return self._ndcg(np.where(np.isfinite(self.logged), self.trending, -np.inf))

    def _ndcg(self, scores: np.ndarray) -> np.ndarray:
        first = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        return ndcg(np.take_along_axis(self.label, first, axis=1), self.relevant)


def lists(
    config: Config, zones: Zones, window: str, asked: Candidates, personal: Callable[[Candidates], np.ndarray]
) -> Lists:
    """A window's candidates, side by side.

    Args:
        config: for the weight of sessions.
        zones: where the data lies.
        window: ``C`` or ``COLD``.
        asked: of ``ranking_rows.load``.
        personal: the personal score of candidates ``[n]``.
    """
    table = read(f"{zones.candidates}/window={window}", ["row_id", "evidence", "trending_score", "in_session"])
    table = table.take(pa.array(np.argsort(numbers(table, "row_id"), kind="stable")))
    starts = np.searchsorted(asked.request, np.arange(len(asked.relevant)))
    place = np.arange(len(asked.request)) - starts[asked.request]
    shape = len(asked.relevant), int(place.max()) + 1

    def side_by_side(values: np.ndarray, padding: Any = 0.0) -> np.ndarray:
        whole = np.full(shape, padding)
        whole[asked.request, place] = values
        return whole

    two_tower = asked.continuous[:, ranker_continuous(config.features).index("two_tower_score")]
    return Lists(
        side_by_side(personal(asked), -np.inf),
        side_by_side(two_tower),
        side_by_side(numbers(table, "trending_score")),
        side_by_side(config.serve.session_weight * numbers(table, "in_session")),
        side_by_side(asked.label > 0, False),
        asked.relevant,
        numbers(table, "evidence")[starts],
    )


def cold(config: Config, zones: Zones, personal: Callable[[Candidates], np.ndarray]) -> Lists | None:
    """The requests of whom little is known; None where nobody had enough history, or none of it was found."""
    if not read_manifest(zones.candidates)["windows"][COLD]["found"]:
        return None
    return lists(config, zones, COLD, load(config, zones, COLD), personal)


def halves(whole: Lists, little: Lists | None) -> tuple[Evidence, list[dict[str, float]]]:
    """The pair that is best, of equals the smallest, and the curve it gives.

    Args:
        whole: window C's requests.
        little: of ``cold``.

    Returns:
        Also a document a number of known interactions: ``known_events``, NDCG@10 ``served`` and ``trending``.
    """
    tried = [Evidence(*pair) for pair in itertools.product(PERSONAL, RANKER)]
    worth = np.array([whole.judged(pair).mean() for pair in tried])
    if little is None:
        return tried[int(worth.argmax())], []
    steps, of_step = np.unique(little.evidence, return_inverse=True)

    def curve(values: np.ndarray) -> np.ndarray:
        return np.bincount(of_step, values) / np.bincount(of_step)

    trending = curve(little.trending_alone())
    curves = np.stack([curve(little.judged(pair)) for pair in tried])
    short = np.maximum(trending - curves, 0.0).sum(axis=1) + np.maximum(-np.diff(curves, axis=1), 0.0).sum(axis=1)
    best = int((worth - _SHORTFALL * short).argmax())
    points = zip(steps.tolist(), curves[best].round(5).tolist(), trending.round(5).tolist())
    return tried[best], [dict(zip(("known_events", "served", "trending"), point)) for point in points]
