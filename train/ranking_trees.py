"""A ranker of boosted trees, fitted to the log-loss of every candidate by itself.

Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 2001; scikit-learn's
histogram trees. They read the ranker's numbers alone: what its codes say of a candidate reaches them as shares, counts
and trends. They find by themselves where two numbers only mean something together.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

from contracts.errors import ArtifactError
from contracts.model_settings import TrainSettings
from train import ranking_rows
from train.blend_tuning import mean_ndcg
from train.calibration import log_loss
from train.ranking_rows import Candidates

log = logging.getLogger(__name__)

#: Trees between two looks at the requests that were held out: an epoch of ``train.ranker_epochs``.
TREES = 20
#: Looks without a better figure after which training ends.
_PATIENCE = 3
#: Of each tree. Hits are few and noisy: small trees, large leaves, a share of the columns each.
_LEAVES, _LEAST_ROWS, _COLUMNS, _RATE, _L2, _BINS = 15, 100, 0.3, 0.06, 20.0, 64
#: Largest difference of ONNX from scikit-learn, divided by 1 + the largest logit: sums of float32.
_TOLERANCE = 1e-5
#: Of the graph: the operators, and the trees, which are a domain of their own.
_OPSETS = (helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3))


@dataclasses.dataclass(frozen=True)
class Trees:
    """Fitted trees.

    Attributes:
        model: all that were grown.
        epochs: of ``TREES`` trees each, those that count: the best by the held-out requests.
        losses: mean cross-entropy of what was learned from, after each epoch.
        validation: NDCG@10 of the best epoch on the held-out requests.
    """

    model: HistGradientBoostingClassifier
    epochs: int
    losses: list[float]
    validation: dict[str, float]

    def logits(self, asked: Candidates) -> np.ndarray:
        """The interaction's logit of candidates, float64 ``[n]``."""
        return _staged(self.model, asked.continuous, self.epochs)

    def onnx(self, asked: Candidates) -> tuple[bytes, float]:
        """The graph by the names of the contract, and its largest relative difference from scikit-learn.

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
            raise ArtifactError(f"trees: ONNX differs from scikit-learn by {worst:.2e}, expected at most {_TOLERANCE}")
        log.info("trees: ONNX equals scikit-learn within %.1e", worst)
        return content, worst

    def _graph(self, codes: int, numbers: int) -> onnx.ModelProto:
        trees = [one.nodes for (one,) in self.model._predictors[: self.epochs * TREES]]  # pyright: ignore[reportPrivateUsage]
        base = float(np.ravel(self.model._baseline_prediction)[0])  # pyright: ignore[reportPrivateUsage]
        nodes = [
            helper.make_node(
                "TreeEnsembleRegressor", ["continuous"], ["sums"], domain="ai.onnx.ml", n_targets=1,
                base_values=[base], **_attributes(trees),
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
    model: Any = HistGradientBoostingClassifier(
        learning_rate=_RATE,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAST_ROWS,
        max_features=_COLUMNS,
        l2_regularization=_L2,
        max_bins=_BINS,
        early_stopping=False,
        warm_start=True,
        random_state=settings.seed,
    )
    best, figures, losses = 0, [], []
    for epoch in range(1, settings.ranker_epochs + 1):
        model.set_params(max_iter=epoch * TREES).fit(kept.continuous, kept.label > 0)
        figures.append(mean_ndcg(model.decision_function(held_out.continuous), held_out))
        losses.append(round(log_loss(model.predict_proba(kept.continuous)[:, 1], kept.label), 5))
        log.info("%d trees: NDCG@10 %.4f on held-out rows", epoch * TREES, figures[-1])
        if on_epoch:
            on_epoch(epoch - 1, figures[-1])
        best = int(np.argmax(figures)) + 1
        if epoch - best >= _PATIENCE:
            break
    return Trees(model, best, losses, {"ndcg_at_10": round(figures[best - 1], 5)})


def _staged(model: HistGradientBoostingClassifier, numbers: np.ndarray, epochs: int) -> np.ndarray:
    """Logits by the trees of the first epochs, float64 ``[n]``."""
    stages = model.staged_decision_function(numbers)
    return functools.reduce(lambda _, logits: logits, (next(stages) for _ in range(epochs * TREES)))


def _attributes(trees: list[np.ndarray]) -> dict[str, Any]:
    """scikit-learn's arrays of nodes as the attributes of ONNX's operator, all trees one after the other."""
    nodes = np.concatenate(trees)
    sizes = [len(one) for one in trees]
    number = np.concatenate([np.arange(size) for size in sizes])
    tree = np.repeat(np.arange(len(trees)), sizes)
    leaf = nodes["is_leaf"].astype(bool)
    # A number x of float32 is at most a float64 threshold where it is at most the float32 just below it.
    threshold = nodes["num_threshold"].astype(np.float32)
    above = threshold.astype(np.float64) > nodes["num_threshold"]
    threshold = np.where(above, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    return {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"]).astype(int).tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values": np.where(leaf, 0.0, threshold).astype(float).tolist(),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"]).astype(int).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"]).astype(int).tolist(),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, nodes["missing_go_to_left"]).astype(int).tolist(),
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": number[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": nodes["value"][leaf].tolist(),
    }
