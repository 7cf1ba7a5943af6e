"""How lists gain from what is known of a user: NDCG by number of known interactions, beside trending's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from contracts.config import Config
from train.judged import Judged
from train.metrics import ndcg
from train.population import Population
from train.tables import numbers


def curve(config: Config, asked: Judged, lists: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A document for each number of known interactions, rising; [] without such requests.

    The same users are behind every point, and neither list names what they had really seen, so that two points differ
    by what is known alone; intervals are drawn over users.

    Args:
        config: for the seed.
        asked: the cold-start requests.
        lists: ``served`` and ``trending``, int64 ``[requests, 10]`` item codes.

    Returns:
        ``known_events``, ``requests``, NDCG@10 ``served`` and ``trending`` (``mean``, ``interval``), served against
        trending (``against_trending``) and against the point before (``against_before``, absent at the first).
    """
    if not len(asked.request_ids):
        return []
    known = numbers(asked.requests, "known_events")
    users, place = np.unique(asked.user_ids, return_inverse=True)
    population = Population(users, config.train.seed)
    values = {name: ndcg(asked.relevant.hits(lists[name]), asked.relevant.number) for name in ("served", "trending")}
    documents: list[dict[str, Any]] = []
    before: np.ndarray | None = None
    for number in np.unique(known):
        here = known == number
        by_user = {}
        for name, held in values.items():
            by_user[name] = np.zeros(len(users))
            by_user[name][place[here]] = held[here]
        document = {
            "known_events": int(number),
            "requests": int(here.sum()),
            **{name: population.mean(held) for name, held in by_user.items()},
            "against_trending": population.compared(by_user["served"], by_user["trending"]),
        }
        if before is not None:
            document["against_before"] = population.compared(by_user["served"], before)
        documents.append(document)
        before = by_user["served"]
    return documents
