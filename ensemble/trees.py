"""A ranker of boosted trees as arrays, for the C++ twin: it evaluates many candidates at once, without a branch.

Every leaf of a tree is a bit. A condition that does not hold takes away the leaves on its left; the lowest bit that
every condition leaves is the leaf that is reached (QuickScorer: Lucchese et al., SIGIR 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

#: Their place in a release, beside the graph that they are made from.
FILE = "ranker/1/trees.npz"
#: Most leaves of a tree: its values lie in two registers of eight numbers.
LEAVES = 16


def arrays(model: bytes) -> dict[str, np.ndarray] | None:
    """Trees of an ONNX graph that is nothing but trees over ``continuous``; None of any other graph.

    Returns:
        ``columns`` int32 and ``thresholds`` float32 ``[trees, LEAVES - 1]``, the conditions ``column <= threshold``;
        ``kept`` int32 of the same shape, the leaves (bits) that are left where one does not hold; ``values`` float32
        ``[trees, LEAVES]``, by leaf from the left. Conditions that a tree does not need always hold.
    """
    nodes = onnx.load_model_from_string(model).graph.node
    if [node.op_type for node in nodes] != ["TreeEnsembleRegressor", "Reshape"]:
        return None
    said = {attribute.name: helper.get_attribute_value(attribute) for attribute in nodes[0].attribute}
    plain = list(nodes[0].input) == ["continuous"] and "base_values" not in said and "aggregate_function" not in said
    if not plain or {*said["nodes_modes"]} - {b"LEAF", b"BRANCH_LEQ"}:
        return None
    held = [_conditions(tree) for tree in _trees(said)]
    if max(len(values) for _, values in held) > LEAVES:
        return None
    shape = len(held), LEAVES - 1
    columns, thresholds = np.zeros(shape, np.int32), np.full(shape, np.inf, np.float32)
    kept, values = np.full(shape, -1, np.int32), np.zeros((len(held), LEAVES), np.float32)
    for i, (conditions, leaves) in enumerate(held):
        values[i, : len(leaves)] = leaves
        for j, (column, threshold, mask) in enumerate(conditions):
            columns[i, j], thresholds[i, j], kept[i, j] = column, threshold, ~mask
    return {"columns": columns, "thresholds": thresholds, "kept": kept, "values": values}


def _trees(said: Mapping[str, Any]) -> list[dict[int, tuple[Any, ...]]]:
    """By tree, its nodes by number: column, threshold and the numbers below; of a leaf its value."""
    names = "treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids"
    leaves = zip(said["target_treeids"], said["target_nodeids"], said["target_weights"])
    value = {(tree, number): weight for tree, number, weight in leaves}
    trees: dict[int, dict[int, tuple[Any, ...]]] = {}
    for tree, number, mode, *inner in zip(*(said[f"nodes_{name}"] for name in names)):
        trees.setdefault(tree, {})[number] = (value[tree, number],) if mode == b"LEAF" else tuple(inner)
    return list(trees.values())


def _conditions(nodes: Mapping[int, tuple[Any, ...]]) -> tuple[list[tuple[int, float, int]], list[float]]:
    """A tree's conditions, each with the leaves on its left as bits, and its leaves' values from the left."""
    conditions: list[tuple[int, float, int]] = []
    values: list[float] = []

    def walk(number: int) -> None:
        node = nodes[number]
        if len(node) == 1:
            values.append(node[0])
            return
        column, threshold, left, right = node
        first = len(values)
        walk(left)
        conditions.append((column, threshold, (1 << len(values)) - (1 << first)))
        walk(right)

    walk(0)
    return conditions, values
