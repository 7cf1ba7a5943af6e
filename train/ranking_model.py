"""The ranker: DCN-v2 or DLRM of Merlin Models over codes and standardised numbers, one logit a candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import merlin.models.tf as mm
import numpy as np
import tensorflow as tf
from merlin.schema import ColumnSchema, Schema, Tags

LABEL = "label"
_CROSS_LAYERS = 2
_DEEP = [64, 32]
#: Widest embedding of a categorical column of DCN, and the width of all of them in DLRM, which asks for equal ones.
_DCN_DIM, _DLRM_DIM = 4, 8
#: L2 on the deep layers' weights and, summed over a batch, on the embeddings that it looks up. With some 8,000 hits to
#: learn from, a free ranker learns window B by heart: NDCG@10 on window C of completejourney is .021 without, .025 with
#: both, .023 for a logistic regression and .017 for retrieval's order.
_L2 = 1e-3


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The ranker's columns.

    Attributes:
        sizes: categorical column -> number of codes (``contracts.features.ranker_categorical``, in order).
        continuous: continuous columns, in order.
        mean: float32 ``[continuous]`` of the training candidates.
        deviation: float32 ``[continuous]``, never 0; infinite for a column that is to say nothing.
    """

    sizes: Mapping[str, int]
    continuous: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray

    def split(self, categorical, continuous) -> dict[str, tf.Tensor]:
        """Merlin's named columns ``[n, 1]`` of the two matrices; standardising here puts it into the graph."""
        standard = (continuous - self.mean) / self.deviation
        named = {f"c_{name}": categorical[:, i : i + 1] for i, name in enumerate(self.sizes)}
        return named | {f"x_{name}": standard[:, i : i + 1] for i, name in enumerate(self.continuous)}


def build(kind: str, inputs: Inputs) -> mm.Model:
    """An untrained ``dcn`` or ``dlrm`` whose output is a logit."""
    schema = _schema(inputs)
    output = mm.BinaryOutput(
        LABEL,
        to_call=tf.keras.layers.Dense(1),
        default_loss=tf.keras.losses.BinaryCrossentropy(from_logits=True),
        default_metrics_fn=tuple,
    )
    categorical = schema.select_by_tag(Tags.CATEGORICAL)
    if kind == "dlrm":
        return mm.DLRMModel(
            schema,
            embeddings=mm.Embeddings(categorical, dim=_DLRM_DIM, l2_batch_regularization_factor=_L2),
            bottom_block=_deep([_DEEP[0], _DLRM_DIM]),
            top_block=_deep(_DEEP),
            prediction_tasks=output,
        )
    if not inputs.sizes:
        # Merlin's embeddings cannot be none: the cross and deep layers then see numbers only.
        block = mm.InputBlockV2(schema.select_by_tag(Tags.CONTINUOUS))
        return mm.DCNModel(
            schema, depth=_CROSS_LAYERS, deep_block=_deep(_DEEP), input_block=block, prediction_tasks=output
        )
    dims = {f"c_{name}": min(_DCN_DIM, max(2, int(size**0.5))) for name, size in inputs.sizes.items()}
    embeddings = mm.Embeddings(categorical, dim=dims, l2_batch_regularization_factor=_L2)
    return mm.DCNModel(
        schema,
        depth=_CROSS_LAYERS,
        deep_block=_deep(_DEEP),
        input_block=mm.InputBlockV2(schema, categorical=embeddings),
        prediction_tasks=output,
    )


def _deep(widths: list[int]) -> mm.SequentialBlock:
    return mm.MLPBlock(widths, kernel_regularizer=tf.keras.regularizers.l2(_L2))


def _schema(inputs: Inputs) -> Schema:
    columns = [
        ColumnSchema(
            f"c_{name}",
            dtype=np.int64,
            tags=[Tags.CATEGORICAL],
            properties={"domain": {"name": f"c_{name}", "min": 0, "max": size - 1}},
        )
        for name, size in inputs.sizes.items()
    ]
    columns += [ColumnSchema(f"x_{name}", dtype=np.float32, tags=[Tags.CONTINUOUS]) for name in inputs.continuous]
    return Schema([*columns, ColumnSchema(LABEL, dtype=np.int64, tags=[Tags.TARGET, Tags.BINARY_CLASSIFICATION])])
