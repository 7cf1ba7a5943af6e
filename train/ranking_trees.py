"""A ranker of boosted trees that learns from whole lists: LambdaMART, by LightGBM.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82; Ke et al., "LightGBM: a highly
efficient gradient boosting decision tree", NeurIPS 2017. Each pair of a hit and another candidate of its request weighs
as much as NDCG would change if they changed places. Trees read the ranker's numbers alone: what its codes say of a
candidate reaches them as shares, counts and trends. They find by themselves where two numbers only mean something
together.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from contracts.errors import ArtifactError
from contracts.model_settings import TrainSettings
from train import ranking_rows
from train.blend_tuning import mean_ndcg
from train.ranking_rows import Candidates

log = logging.getLogger(__name__)

#: Trees between two looks at the requests that were held out: an epoch of ``train.ranker_epochs``.
TREES = 20
#: Looks without a better figure after which training ends.
_PATIENCE = 3
#: Hits are few and noisy: small trees, large leaves, a share of the columns a split and of the rows a tree.
_SETTINGS = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 30,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "lambda_l2": 50.0,
    "feature_fraction_bynode": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
    # The same trees by the same seed, whatever the number of threads.
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
#: Largest difference of ONNX from LightGBM, divided by 1 + the largest score: sums of float32.
_TOLERANCE = 1e-5
#: Of the graph: the operators, and the trees, which are a domain of their own.
_OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3))


@dataclasses.dataclass(frozen=True)
class Trees:
    """Fitted trees.

    Attributes:
        model: all that were grown.
        epochs: of ``TREES`` trees each, those that count: the best by the held-out requests.
        losses: 1 less NDCG@10 of what was learned from, after each epoch: trees of lists have no loss of their own.
        validation: NDCG@10 of the best epoch on the held-out requests.
    """

    model: lightgbm.Booster
    epochs: int
    losses: list[float]
    validation: dict[str, float]

    def logits(self, asked: Candidates) -> np.ndarray:
        """The score of candidates, float64 ``[n]``: an order, which calibration makes a probability."""
        return np.asarray(self.model.predict(asked.continuous, num_iteration=self.epochs * TREES, raw_score=True))

    def onnx(self, asked: Candidates) -> tuple[bytes, float]:
        """The graph by the names of the contract, and its largest relative difference from LightGBM.

        Args:
            asked: what both are compared on; its codes are taken and not looked at.

        Raises:
            ArtifactError: when they differ by more than float32 rounding.
        """
        content = self._graph(asked.categorical.shape[1], asked.continuous.shape[1]).SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        (got,) = session.run(["logit"], {"categorical": asked.categorical, "continuous": asked.continuous})
        expected = self.logits(asked)
        worst = float(np.abs(got - expected).max(initial=0.0) / (1.0 + np.abs(expected).max(initial=0.0)))
        if not worst <= _TOLERANCE:
            raise ArtifactError(f"trees: ONNX differs from LightGBM by {worst:.2e}, expected at most {_TOLERANCE}")
        log.info("trees: ONNX equals LightGBM within %.1e", worst)
        return content, worst

    def _graph(self, codes: int, numbers: int) -> onnx.ModelProto:
        trees = self.model.dump_model(num_iteration=self.epochs * TREES)["tree_info"]
        nodes = [
            helper.make_node(
                "TreeEnsembleRegressor", ["continuous"], ["sums"], domain="ai.onnx.ml", n_targets=1,
                **_attributes([tree["tree_structure"] for tree in trees]),
            ),
            helper.make_node("Reshape", ["sums", "flat"], ["logit"]),
        ]  # fmt: skip
        inputs = [
            helper.make_tensor_value_info("categorical", TensorProto.INT64, [None, codes]),
            helper.make_tensor_value_info("continuous", TensorProto.FLOAT, [None, numbers]),
        ]
        outputs = [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None])]
        flat = helper.make_tensor("flat", TensorProto.INT64, [1], [-1])
        graph = helper.make_graph(nodes, "trees", inputs, outputs, [flat])
        return helper.make_model(graph, opset_imports=_OPSETS, ir_version=8)


def fit(
    settings: TrainSettings, learned: Candidates, share: float, on_epoch: Callable[[int, float], None] | None
) -> Trees:
    """Grow trees until ``_PATIENCE`` epochs no longer help on requests that were held out.

    Args:
        settings: for the seed and the most epochs.
        learned: window B.
        share: of its requests that are held out.
        on_epoch: called after each epoch with its number (from 0) and NDCG@10 on the held-out requests; what it raises
            ends the training.
    """
    kept, held_out = ranking_rows.divided(learned, share, settings.seed)
    lists = np.bincount(kept.request, minlength=len(kept.relevant))
    rows = lightgbm.Dataset(kept.continuous, kept.label, group=lists[lists > 0], params=_SETTINGS)
    model = lightgbm.Booster({**_SETTINGS, "seed": settings.seed}, rows)
    best, figures, losses = 0, [], []
    for epoch in range(1, settings.ranker_epochs + 1):
        for _ in range(TREES):
            model.update()
        grown = Trees(model, epoch, losses, {})
        figures.append(mean_ndcg(grown.logits(held_out), held_out))
        losses.append(round(1.0 - mean_ndcg(grown.logits(kept), kept), 5))
        log.info("%d trees: NDCG@10 %.4f on held-out rows", epoch * TREES, figures[-1])
        if on_epoch:
            on_epoch(epoch - 1, figures[-1])
        best = int(np.argmax(figures)) + 1
        if epoch - best >= _PATIENCE:
            break
    return Trees(model, best, losses, {"ndcg_at_10": round(figures[best - 1], 5)})


def _attributes(trees: list[Mapping[str, Any]]) -> dict[str, Any]:
    """LightGBM's trees as the attributes of ONNX's operator, all one after the other."""
    nodes = [(place, *node) for place, tree in enumerate(trees) for node in _nodes(tree)]
    leaves = [(tree, number, value) for tree, number, column, value, *_ in nodes if column < 0]
    return {
        "nodes_treeids": [tree for tree, *_ in nodes],
        "nodes_nodeids": [number for _, number, *_ in nodes],
        "nodes_featureids": [max(column, 0) for _, _, column, *_ in nodes],
        "nodes_modes": ["LEAF" if column < 0 else "BRANCH_LEQ" for _, _, column, *_ in nodes],
        "nodes_values": [0.0 if column < 0 else _below(value) for _, _, column, value, *_ in nodes],
        "nodes_truenodeids": [left for *_, left, _ in nodes],
        "nodes_falsenodeids": [right for *_, right in nodes],
        "target_treeids": [tree for tree, *_ in leaves],
        "target_nodeids": [number for _, number, _ in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights": [value for *_, value in leaves],
    }


def _nodes(tree: Mapping[str, Any]) -> Iterator[tuple[int, int, float, int, int]]:
    """A tree's nodes, the root 0: number, column, threshold and the numbers below; of a leaf -1 and its value."""
    waiting, numbered = [(0, tree)], 1
    while waiting:
        number, node = waiting.pop()
        if "split_index" not in node:
            yield number, -1, float(node["leaf_value"]), 0, 0
            continue
        left, right = numbered, numbered + 1
        numbered += 2
        waiting += [(left, node["left_child"]), (right, node["right_child"])]
        yield number, int(node["split_feature"]), float(node["threshold"]), left, right


def _below(threshold: float) -> float:
    """The greatest float32 that is at most a float64: what is at most the one is at most the other."""
    near = np.float32(threshold)
    return float(np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near)
