"""The ranker: DCN-v2, DLRM or MMOE of Merlin Models over codes and standardised numbers, one logit a candidate.

Each may learn a second task from the same layers (what a hit was worth): MMOE through a gate of its own over shared
experts, the others through a second output on one shared body. Only the logit is served.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import merlin.models.tf as mm
import numpy as np
import tensorflow as tf
from merlin.schema import ColumnSchema, Schema, Tags

from contracts.features import OUT_OF_VOCABULARY
from contracts.model_settings import TrainSettings
from train import precision
from train.ranking_loss import Loss, known_squares, loss_of

#: The column of all numbers.
NUMBERS = "x"
#: Targets, and the names that Merlin gives to the outputs for them.
LABEL, SECOND = "label", "second"
_LOGIT, _SECOND = f"{LABEL}/binary_output", f"{SECOND}/regression_output"
_CROSS_LAYERS = 2
_EXPERTS = 3
#: Widest embedding of a categorical column, and the width of all of them in DLRM, which asks for equal ones.
_DIM, _DLRM_DIM = 4, 8


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

    def signature(self) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """The two matrices by the names of the contract, any number of candidates long."""
        return (
            tf.TensorSpec((None, len(self.sizes)), tf.int64, "categorical"),
            tf.TensorSpec((None, len(self.continuous)), tf.float32, "continuous"),
        )

    def known(self, categorical: tf.Tensor) -> tf.Tensor:
        """Codes int64 ``[n, columns]`` with those that the vocabulary got since as out of vocabulary."""
        sizes = tf.constant(list(self.sizes.values()), tf.int64)
        return tf.where(categorical < sizes, categorical, tf.constant(OUT_OF_VOCABULARY, tf.int64))

    def split(self, categorical, continuous) -> dict[str, tf.Tensor]:
        """Merlin's named columns of the two matrices: codes ``[n, 1]`` each, and all numbers as one, standardised.

        A column for each number would be cut out of the matrix only for Merlin to put it back. Standardising here
        puts it into the graph.
        """
        codes = tf.split(categorical, len(self.sizes), axis=1) if self.sizes else []
        named = dict(zip((f"c_{name}" for name in self.sizes), codes))
        return named | {NUMBERS: (continuous - self.mean) / self.deviation}


def build(settings: TrainSettings, inputs: Inputs, policy: str = precision.WHOLE) -> mm.Model:
    """An untrained model of ``settings.ranker``; read its outputs by ``logit`` and ``second``.

    What lies between its embeddings and its outputs computes by ``policy`` (``train/precision.py``).
    """
    schema = _schema(inputs, bool(settings.second_task))
    outputs = mm.OutputBlock(schema, _outputs(settings))
    columns = None if settings.ranker == "dlrm" else _columns(settings, schema)
    embeddings = _embeddings(settings, schema, _DLRM_DIM) if settings.ranker == "dlrm" else None
    with precision.layers(policy):
        model = _body(settings, schema, columns or embeddings, outputs)
        # The first call makes its variables, and layers that Merlin makes as late as that.
        model(
            inputs.split(np.zeros((1, len(inputs.sizes)), np.int64), np.zeros((1, len(inputs.continuous)), np.float32))
        )
    return model


def _body(settings: TrainSettings, schema: Schema, columns: Any, outputs: Any) -> Any:
    """The model over its columns; of DLRM over its embeddings."""
    deep = _layers(settings, settings.ranker_width, settings.ranker_width // 2)
    if settings.ranker == "mmoe":
        return _mmoe(settings, columns, deep, outputs)
    if settings.ranker == "dlrm":
        return mm.DLRMModel(
            schema,
            embeddings=columns,
            bottom_block=mm.SequentialBlock([*_flat(), _layers(settings, settings.ranker_width, _DLRM_DIM)]),
            top_block=deep,
            prediction_tasks=outputs,
        )
    return mm.DCNModel(schema, depth=_CROSS_LAYERS, deep_block=deep, input_block=columns, prediction_tasks=outputs)


def logit(predicted: Any) -> tf.Tensor:
    """The interaction's logit ``[n]`` among what a model returns."""
    return tf.reshape(predicted[_LOGIT] if isinstance(predicted, dict) else predicted, (-1,))


def second(predicted: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The second task's prediction ``[n]`` among what a model with one returns."""
    return tf.reshape(predicted[_SECOND], (-1,))


def losses(settings: TrainSettings) -> dict[str, Loss]:
    """Output -> its loss, for ``compile``; the sum is minimised."""
    return {_LOGIT: loss_of(settings)} | ({_SECOND: known_squares} if settings.second_task else {})


def _outputs(settings: TrainSettings) -> dict[str, Any]:
    """Linear outputs by the names that Merlin gives them."""
    outputs: dict[str, Any] = {
        _LOGIT: mm.BinaryOutput(LABEL, to_call=tf.keras.layers.Dense(1), default_metrics_fn=tuple)
    }
    if settings.second_task:
        outputs[_SECOND] = mm.RegressionOutput(SECOND, default_metrics_fn=tuple)
    return outputs


def _mmoe(settings: TrainSettings, columns: Any, expert: Any, outputs: Any) -> Any:
    """Multi-gate mixture of experts (Ma et al., KDD 2018): each task mixes the shared experts by a gate of its own."""
    if not settings.second_task:
        # One task has no branches to look its output up in: its gate's mixture is taken out of the block's dictionary.
        block = mm.MMOEBlock([_LOGIT], expert_block=expert, num_experts=_EXPERTS)
        return mm.Model(columns, block, tf.keras.layers.Lambda(lambda mixed: mixed[_LOGIT]), outputs)
    return mm.Model(columns, mm.MMOEBlock(outputs, expert_block=expert, num_experts=_EXPERTS), outputs)


def _columns(settings: TrainSettings, schema: Schema) -> Any:
    """All columns side by side; Merlin's embeddings cannot be none, so that without codes there are only numbers."""
    numbers = mm.SequentialBlock([mm.Continuous(schema.select_by_tag(Tags.CONTINUOUS)), *_flat()])
    if not len(schema.select_by_tag(Tags.CATEGORICAL)):
        return mm.InputBlockV2(schema.select_by_tag(Tags.CONTINUOUS), continuous=numbers)
    return mm.InputBlockV2(schema, categorical=_embeddings(settings, schema), continuous=numbers)


def _flat() -> list[Any]:
    """From the named column of all numbers, to which Merlin adds a third dimension, to ``[n, continuous]``."""
    return [mm.TabularBlock(aggregation="concat"), tf.keras.layers.Flatten()]


def _embeddings(settings: TrainSettings, schema: Schema, dim: int | None = None) -> Any:
    """Embeddings regularised by what a batch looks up; of ``dim``, else narrow ones by the number of codes."""
    columns = schema.select_by_tag(Tags.CATEGORICAL)
    narrow = {column.name: min(_DIM, max(2, int((column.int_domain.max + 1) ** 0.5))) for column in columns}
    tables = mm.Embeddings(columns, dim=dim or narrow, l2_batch_regularization_factor=settings.ranker_l2)
    tables({column.name: np.zeros((1, 1), np.int64) for column in columns})  # made now, they are of all bits
    return tables


def _layers(settings: TrainSettings, *widths: int) -> mm.SequentialBlock:
    return mm.MLPBlock(list(widths), kernel_regularizer=tf.keras.regularizers.l2(settings.ranker_l2))


def _schema(inputs: Inputs, two_tasks: bool) -> Schema:
    columns = [
        ColumnSchema(
            f"c_{name}",
            dtype=np.int64,
            tags=[Tags.CATEGORICAL],
            properties={"domain": {"name": f"c_{name}", "min": 0, "max": size - 1}},
        )
        for name, size in inputs.sizes.items()
    ]
    number = len(inputs.continuous)
    numbers = ColumnSchema(NUMBERS, dtype=np.float32, tags=[Tags.CONTINUOUS])
    columns.append(numbers.with_shape(((0, None), (number, number))))
    columns.append(ColumnSchema(LABEL, dtype=np.float32, tags=[Tags.TARGET, Tags.BINARY_CLASSIFICATION]))
    if two_tasks:
        columns.append(ColumnSchema(SECOND, dtype=np.float32, tags=[Tags.TARGET, Tags.REGRESSION]))
    return Schema(columns)
