"""Which requests, and which items, are looked at by themselves: a mean may hide that some are served worse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from contracts.artifacts import Zones, read_manifest
from contracts.config import Config
from contracts.features import FIRST_VALUE
from train.judged import Judged
from train.metrics import ndcg
from train.population import Population
from train.tables import Catalogue, numbers, read

#: Interactions below which a user is new.
NEW_USER = 10
#: Share of the catalogue, the least popular items, that is the tail.
TAIL = 0.8
#: Requests below which a slice says nothing and is left out.
LEAST_REQUESTS = 20
_MS_PER_MINUTE = 60_000


@dataclasses.dataclass(frozen=True)
class Slice:
    """Some of the requests, or of the items.

    Attributes:
        group: by what it is cut: ``users``, ``items``, ``region`` or a user attribute.
        name: which of the group.
        requests: bool ``[requests]``.
        items: bool by item code: only these count as relevant; None: all.
    """

    group: str
    name: str
    requests: np.ndarray
    items: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class ItemHistory:
    """What the log holds of each item before the cut, row i = code i + 3.

    Attributes:
        interactions: float64 ``[catalogue]``.
        lately: bool ``[catalogue]``, first met in the last window before the cut (C).
    """

    interactions: np.ndarray
    lately: np.ndarray


def item_history(config: Config, zones: Zones, held: Catalogue) -> ItemHistory:
    """Read ``features/buckets.parquet`` up to the cut."""
    instants = read_manifest(zones.processed)
    table = read(f"{zones.features}/buckets.parquet", ["bucket", "item_code", "count"])
    width = config.features.bucket_minutes * _MS_PER_MINUTE
    bucket = numbers(table, "bucket").astype(np.int64)
    before = (bucket + 1) * width <= instants["cut"]
    item, count = numbers(table, "item_code")[before] - FIRST_VALUE, numbers(table, "count")[before]
    old = item[(bucket[before] + 1) * width <= instants["ranker_end"]]
    interactions = np.bincount(item, count, held.size)
    return ItemHistory(interactions, (interactions > 0) & ~np.isin(np.arange(held.size), old))


def columns(config: Config) -> tuple[str, ...]:
    """Columns of the requests by which they are cut."""
    return ("interaction_count", "home_region", *config.features.user_categorical)


def slices(config: Config, asked: Judged, items: ItemHistory) -> list[Slice]:
    """All slices with enough requests."""
    return [each for each in _all(config, asked, items) if _counted(each, asked).sum() >= LEAST_REQUESTS]


def _all(config: Config, asked: Judged, items: ItemHistory) -> Iterator[Slice]:
    everyone = np.ones(len(asked.request_ids), bool)
    evidence = numbers(asked.requests, "interaction_count")
    yield Slice("users", f"new: fewer than {NEW_USER} interactions", evidence < NEW_USER)
    third = np.quantile(evidence, (1 / 3, 2 / 3))
    yield Slice("users", f"quietest third: at most {third[0]:.0f}", evidence <= third[0])
    yield Slice("users", f"busiest third: more than {third[1]:.0f}", evidence > third[1])
    order = np.argsort(-items.interactions, kind="stable")
    tail = np.zeros(len(order), bool)
    tail[order[round((1 - TAIL) * len(order)) :]] = True
    by_item = {
        "never seen in training": items.interactions == 0,
        "first met in the last window": items.lately,
        f"tail: the least popular {TAIL:.0%}": tail,
        f"head: the most popular {1 - TAIL:.0%}": ~tail,
    }
    for name, mask in by_item.items():
        yield Slice("items", name, everyone, np.concatenate([np.zeros(FIRST_VALUE, bool), mask]))
    for group, column in (("region", "home_region"), *((name, name) for name in config.features.user_categorical)):
        values = np.asarray(asked.requests[column].to_pylist(), object)
        for value in sorted({*values.tolist()}, key=str):
            yield Slice(group, str(value) or "unknown", values == value)


def _counted(each: Slice, asked: Judged) -> np.ndarray:
    """Requests of a slice that have something relevant in it, bool ``[requests]``."""
    return each.requests & ((asked.relevant if each.items is None else asked.relevant.among(each.items)).number > 0)


def judge(
    found: list[Slice], asked: Judged, lists: Mapping[str, np.ndarray], population: Population
) -> list[dict[str, Any]]:
    """NDCG@10 of some lists within each slice, and of the first against each other one.

    Args:
        found: of ``slices``.
        asked: the requests.
        lists: name -> int64 ``[requests, 10]`` item codes, the judged one first.
        population: for intervals.
    """
    ours, *others = lists
    documents = []
    for each in found:
        relevant = asked.relevant if each.items is None else asked.relevant.among(each.items)
        counted = _counted(each, asked)
        least = np.maximum(relevant.number, 1)
        values = {name: ndcg(relevant.hits(codes), least) for name, codes in lists.items()}
        documents.append(
            {
                "group": each.group,
                "name": each.name,
                "requests": int(counted.sum()),
                "ndcg": {name: population.mean(held, counted) for name, held in values.items()},
                "compared": {name: population.compared(values[ours], values[name], counted) for name in others},
            }
        )
    return documents
