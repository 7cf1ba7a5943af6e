"""Models made up by hand, as ONNX: what a trained tower and a trained ranker look like from outside."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contracts.config import Config
from contracts.features import FIRST_VALUE, query_columns, ranker_categorical, ranker_continuous

_OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]


def query_tower_graph(config: Config, embeddings: np.ndarray, users: int, rng: np.random.Generator) -> bytes:
    """Mean of the recent items' embeddings by weight, and a little of the user's own, to unit length."""
    size = embeddings.shape[1]
    table = np.concatenate([np.zeros((FIRST_VALUE, size), np.float32), embeddings])
    constants = {
        "items": table,
        "users": rng.normal(0, 0.05, (users + FIRST_VALUE, size)).astype(np.float32),
        "first": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "tiny": np.array([1e-6], np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["items", "recent_items"], ["held"]),
        helper.make_node("Unsqueeze", ["recent_weights", "two"], ["weights"]),
        helper.make_node("Mul", ["held", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "one"], ["pooled"], keepdims=0),
        helper.make_node("Gather", ["user_codes", "first"], ["user"], axis=1),
        helper.make_node("Gather", ["users", "user"], ["user_row"]),
        helper.make_node("ReduceSum", ["user_row", "one"], ["own"], keepdims=0),
        helper.make_node("Add", ["pooled", "own"], ["sum"]),
        helper.make_node("ReduceL2", ["sum", "one"], ["length"], keepdims=1),
        helper.make_node("Add", ["length", "tiny"], ["safe"]),
        helper.make_node("Div", ["sum", "safe"], ["query_embedding"]),
    ]
    recent = ["b", config.features.recent_items]
    inputs = [
        helper.make_tensor_value_info("user_codes", TensorProto.INT64, ["b", len(query_columns(config.features))]),
        helper.make_tensor_value_info("recent_items", TensorProto.INT64, recent),
        helper.make_tensor_value_info("recent_weights", TensorProto.FLOAT, recent),
    ]
    return _graph(
        nodes, inputs, helper.make_tensor_value_info("query_embedding", TensorProto.FLOAT, ["b", size]), constants
    )


def ranker_graph(config: Config, brands: int = 12, others: float = 0.01) -> bytes:
    """A linear ranker: retrieval, popularity, what lately was bought, and a little by brand."""
    names = ranker_continuous(config.features)
    wanted = {"two_tower_score": 0.5, "similar_score": 0.8, "popularity_720h": 0.2, "recent_share_department": 1.5}
    wanted |= {"category_share_720h": 0.5, "seen_share_brand": 0.7, "price": 0.05}
    weights = np.array([[wanted.get(name, others)] for name in names], np.float32)
    brand = len(ranker_categorical(config.features)) - 1
    constants = {
        "w": weights,
        "column": np.array(brand, np.int64),
        "by_brand": np.linspace(-0.2, 0.2, brands + FIRST_VALUE, dtype=np.float32),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["continuous", "w"], ["linear"]),
        helper.make_node("Squeeze", ["linear", "one"], ["flat"]),
        helper.make_node("Gather", ["categorical", "column"], ["brand"], axis=1),
        helper.make_node("Gather", ["by_brand", "brand"], ["effect"]),
        helper.make_node("Add", ["flat", "effect"], ["logit"]),
    ]
    inputs = [
        helper.make_tensor_value_info("categorical", TensorProto.INT64, ["n", brand + 1]),
        helper.make_tensor_value_info("continuous", TensorProto.FLOAT, ["n", len(names)]),
    ]
    return _graph(nodes, inputs, helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"]), constants)


def trees_graph(config: Config, rng: np.random.Generator, number: int, leaves: int) -> bytes:
    """So many trees with so many leaves each, grown at random."""
    width = len(ranker_continuous(config.features))
    grown = [(tree, *node) for tree in range(number) for node in _grown(rng, width, leaves)]
    ends = [(tree, node) for tree, node, mode, *_ in grown if mode == "LEAF"]
    names = "treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids"
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor", ["continuous"], ["sums"], domain="ai.onnx.ml", n_targets=1,
            **{f"nodes_{name}": list(column) for name, column in zip(names, zip(*grown))},
            target_treeids=[tree for tree, _ in ends], target_nodeids=[node for _, node in ends],
            target_ids=[0] * len(ends), target_weights=rng.normal(0, 0.2, len(ends)).tolist(),
        ),
        helper.make_node("Reshape", ["sums", "flat"], ["logit"]),
    ]  # fmt: skip
    codes = len(ranker_categorical(config.features))
    inputs = [
        helper.make_tensor_value_info("categorical", TensorProto.INT64, ["n", codes]),
        helper.make_tensor_value_info("continuous", TensorProto.FLOAT, ["n", width]),
    ]
    output = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])
    return _graph(nodes, inputs, output, {"flat": np.array([-1], np.int64)})


def _grown(rng: np.random.Generator, width: int, leaves: int) -> list[tuple[int, str, int, float, int, int]]:
    """A tree's nodes: number, mode, column, threshold and the numbers below; any leaf may be the next to be split."""
    nodes = [(0, "LEAF", 0, 0.0, 0, 0)]
    for _ in range(leaves - 1):
        number = int(rng.choice([node[0] for node in nodes if node[1] == "LEAF"]))
        threshold, below = float(np.float32(rng.normal())), len(nodes)
        nodes[number] = (number, "BRANCH_LEQ", int(rng.integers(width)), threshold, below, below + 1)
        nodes += [(below, "LEAF", 0, 0.0, 0, 0), (below + 1, "LEAF", 0, 0.0, 0, 0)]
    return nodes


def _graph(nodes: list, inputs: list, output: onnx.ValueInfoProto, constants: dict[str, np.ndarray]) -> bytes:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made_up", inputs, [output], tensors)
    model = helper.make_model(graph, opset_imports=_OPSETS, ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
