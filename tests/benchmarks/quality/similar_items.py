"""Which weights make "items like an item" best: what was bought together in window C, found by a fit on window A.

``python -m tests.benchmarks.quality.similar_items CONFIG`` after the pipeline: draws purchases of window C, asks for
ten items like the one bought, and counts how many of the basket's others are among them. The test window is not looked
at. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
from rich.console import Console
from rich.table import Table

from contracts.artifacts import Zones, read_manifest, zones
from contracts.config import Config, load
from contracts.features import FIRST_VALUE
from contracts.stack import stack_settings
from ensemble import assemble
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.scores import top_k
from ensemble.steps.similar import SimilarItems
from ensemble.steps.tables import load as load_tables

_DRAWN, _LENGTH = 2000, 10
_GRID = (0.0, 0.01, 0.03, 0.1, 0.5, 1.0)
Purchase = tuple[int, int, frozenset[int]]


def main(config_path: str) -> dict[str, object]:
    """NDCG@10 by weights."""
    config = load(config_path)
    place = zones(stack_settings().root, config)
    with tempfile.TemporaryDirectory() as temporary:
        similar = _fitted(config, place, Path(temporary))
    drawn = _purchases(place, similar, config.train.seed)
    asked = [(similar.parts(code, time), others, code) for code, time, others in drawn]
    names = ["item_item", "two_tower", *(["covisits"] if config.features.covisit_half_lives_hours else [])]
    tried = {"trending": float(np.mean([_ndcg(similar.popularity.trending(time, ""), x, c) for c, time, x in drawn]))}
    for weights in _weights(names):
        label = " ".join(f"{name}={weight:g}" for name, weight in weights.items() if weight)
        tried[label] = float(np.mean([_ndcg(_sum(parts, weights), others, code) for parts, others, code in asked]))
    table = Table("weights", "NDCG@10", title=f"{config.name}: {len(drawn)} purchases of window C")
    for label, value in sorted(tried.items(), key=lambda pair: -pair[1]):
        table.add_row(label, f"{value:.4f}")
    Console().print(table)
    return {"config": config.name, "purchases": len(drawn), "ndcg_at_10": tried}


def _fitted(config: Config, place: Zones, folder: Path) -> SimilarItems:
    """Similar items by models that saw nothing after window A."""
    fit = f"{place.retrieval}/fit"
    assemble.write_shared(folder, config, place)
    assemble.write_retrieval(folder, fit)
    assemble.write_document(folder, config, place, "fit", fit)
    release = Release.open(folder)
    tables = load_tables(release)
    return SimilarItems(tables, Popularity(tables), release)


def _purchases(place: Zones, similar: SimilarItems, seed: int) -> list[Purchase]:
    """Item code, the basket's first instant and the other codes of the basket, of purchases that have others.

    As of any later instant the basket's own items would have been counted as following each other.
    """
    manifest = read_manifest(place.processed)
    within = (ds.field("event_time") >= manifest["ranker_end"]) & (ds.field("event_time") < manifest["cut"])
    log = ds.dataset(f"{place.processed}/events").to_table(["session_id", "item_id", "event_time"], filter=within)
    baskets: dict[str, dict[int, int]] = {}
    for session, item, time in zip(*(log[name].to_pylist() for name in log.column_names)):
        for code in similar.codes([item]):
            baskets.setdefault(session, {})[code] = time
    several = [(basket, min(basket.values())) for basket in baskets.values() if len(basket) > 1]
    pairs = [(code, first, basket) for basket, first in several for code in basket]
    chosen = np.random.default_rng(seed).choice(len(pairs), min(_DRAWN, len(pairs)), replace=False)
    return [(c, t, frozenset(basket) - {c}) for c, t, basket in (pairs[i] for i in chosen.tolist())]


def _weights(names: list[str]) -> Iterator[dict[str, float]]:
    """Item-item at 1 beside all of the grid of the others, and each alone."""
    for i in range(len(_GRID) ** (len(names) - 1)):
        held = [_GRID[i // len(_GRID) ** place % len(_GRID)] for place in range(len(names) - 1)]
        yield {names[0]: 1.0, **dict(zip(names[1:], held))}
    yield from ({name: 1.0} for name in names[1:])


def _sum(parts: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    return sum((weight * parts[name] for name, weight in weights.items()), np.zeros(1))


def _ndcg(scores: np.ndarray, others: frozenset[int], code: int) -> float:
    scores = scores.copy()
    scores[code - FIRST_VALUE] = -np.inf
    (best,) = top_k(scores[None], _LENGTH)
    gains = 1 / np.log2(np.arange(2, _LENGTH + 2))
    hits = [int(place) + FIRST_VALUE in others for place in best]
    return float(gains[hits].sum() / gains[: len(others)].sum())


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(main(sys.argv[1]))}\n")
