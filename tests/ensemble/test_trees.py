"""Boosted trees as arrays answer what their ONNX graph answers, and any other graph is none."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from contracts.features import ranker_categorical, ranker_continuous
from ensemble import trees
from tests.ensemble.graphs import ranker_graph, trees_graph
from tests.ensemble.made_up import config


def by_arrays(held: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Sums of the leaves reached, as ``ensemble/trees.py`` says that they are found."""
    left = np.full((len(rows), len(held["values"])), -1, np.int64)
    for columns, thresholds, kept in zip(held["columns"].T, held["thresholds"].T, held["kept"].T):
        left &= np.where(rows[:, columns] <= thresholds, -1, kept)
    leaf = np.log2(left & -left).astype(int)
    return held["values"][np.arange(len(held["values"])), leaf].sum(axis=1)


@pytest.mark.parametrize("leaves", [1, 2, 15, 16])
def test_any_rows_reach_the_leaves_of_the_graph(leaves: int) -> None:
    graph = trees_graph(config(), np.random.default_rng(leaves), number=20, leaves=leaves)
    held = trees.arrays(graph)
    assert held is not None
    assert held["values"].shape == (20, trees.LEAVES)
    rows = np.random.default_rng(0).normal(size=(500, len(ranker_continuous(config().features)))).astype(np.float32)
    rows[:3] = [[np.nan], [np.inf], [-np.inf]]
    inputs = {"categorical": np.zeros((500, len(ranker_categorical(config().features))), np.int64), "continuous": rows}
    (expected,) = onnxruntime.InferenceSession(graph).run(["logit"], inputs)
    assert np.allclose(by_arrays(held, rows), expected, atol=1e-5)


def test_trees_of_more_leaves_and_networks_stay_graphs() -> None:
    assert trees.arrays(trees_graph(config(), np.random.default_rng(1), number=2, leaves=17)) is None
    assert trees.arrays(ranker_graph(config())) is None
