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
#: Widest embedding of a categorical column: with some 8,000 hits to learn from, wider ones learn window B by heart
#: (completejourney, NDCG@10 on window C: .0229 at 2, .0232 at 4, .0214 at 16).
_DCN_DIM = 4
#: Width of DLRM's embeddings, which must all be equal.
_DLRM_DIM = 8


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The ranker's columns.

    Attributes:
        sizes: categorical column -> number of codes (``contracts.features.ranker_categorical``, in order).
        continuous: continuous columns, in order.
        mean: float32 ``[continuous]`` of the training candidates.
        deviation: float32 ``[continuous]``, never 0.
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
    if kind == "dlrm":
        return mm.DLRMModel(
            schema,
            embedding_dim=_DLRM_DIM,
            bottom_block=mm.MLPBlock([_DEEP[0], _DLRM_DIM]),
            top_block=mm.MLPBlock(_DEEP),
            prediction_tasks=output,
        )
    categorical = schema.select_by_tag(Tags.CATEGORICAL)
    dims = {f"c_{name}": min(_DCN_DIM, max(2, int(size**0.5))) for name, size in inputs.sizes.items()}
    return mm.DCNModel(
        schema,
        depth=_CROSS_LAYERS,
        deep_block=mm.MLPBlock(_DEEP),
        input_block=mm.InputBlockV2(schema, categorical=mm.Embeddings(categorical, dim=dims)),
        prediction_tasks=output,
    )


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
