"""The two-tower model, of Merlin Models' blocks: what goes in, how the towers share the item table, and the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import merlin.models.tf as mm
import numpy as np
import tensorflow as tf
from merlin.models.tf.outputs.base import DotProduct
from merlin.schema import ColumnSchema, Schema, Tags

from contracts.features import OUT_OF_VOCABULARY
from train import precision
from train.negatives import CountCorrection, Drawn, DrawnItems

RECENT_ITEMS, RECENT_WEIGHTS = "recent_items", "recent_weights"
#: Of the item table's values before training.
_STDDEV = 0.1


@dataclasses.dataclass(frozen=True)
class Shape:
    """What fixes the towers' shapes.

    Attributes:
        user_columns: column -> number of codes, ``user_id`` first (``contracts.features.query_columns``).
        item_columns: column -> number of codes, ``item_id`` first.
        recent_items: length of the recent-items list.
        dim: width of both embeddings.
        widths: column -> width of its embedding, where it is not ``width`` of its codes: a grown model keeps its own.
        item_numbers: numeric columns of items.
        context: those of the user columns that are the request's, not the user's.
    """

    user_columns: Mapping[str, int]
    item_columns: Mapping[str, int]
    recent_items: int
    dim: int
    widths: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    item_numbers: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    def width(self, column: str) -> int:
        """Width of an attribute's embedding: it grows with the root of the number of codes."""
        codes = {**self.user_columns, **self.item_columns}[column]
        return self.widths.get(column, min(self.dim, max(4, int(2 * (codes - 1) ** 0.5))))


@tf.keras.utils.register_keras_serializable(package="trireme")
class RecencyPooling(mm.AverageEmbeddingsByWeightFeature):
    """Merlin's weighted mean over a list; a user without recent items gets zeros where Merlin's divides by zero."""

    def call(self, inputs: tf.Tensor, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """``inputs`` float32 ``[batch, list, dim]`` -> ``[batch, dim]``."""
        weights = tf.cast(features[self.weight_feature_name], tf.float32)
        if len(weights.shape) == 2:
            weights = tf.expand_dims(weights, -1)
        return tf.math.divide_no_nan(tf.reduce_sum(inputs * weights, axis=1), tf.reduce_sum(weights, axis=1))


@tf.keras.utils.register_keras_serializable(package="trireme")
class Numbers(tf.keras.layers.Layer):
    """Standardised columns side by side, as small as embeddings are in the beginning: larger, they drown those out."""

    def __init__(self, names: tuple[str, ...]):
        super().__init__()
        self._names = names

    def call(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Columns float32 ``[b, 1]`` -> ``[b, columns]``."""
        return _STDDEV * tf.concat([inputs[name] for name in self._names], axis=1)


@tf.keras.utils.register_keras_serializable(package="trireme")
class ItemTable(mm.EmbeddingTable):
    """Merlin's table, in whose training some of the items taken are out of vocabulary (DropoutNet, NeurIPS 2017).

    So attributes learn to carry an item by themselves, and the out-of-vocabulary row becomes what an item begins with
    that came after training (``train.weights.restore``).
    """

    id_dropout = 0.0

    def call(self, inputs: Any, training: bool = False, **kwargs: Any) -> Any:
        """As Merlin's; of the target's column some ids are hidden in training, those of recent items never."""
        if training and self.id_dropout and isinstance(inputs, dict) and "item_id" in inputs:
            ids = inputs["item_id"]
            hidden = tf.random.uniform(tf.shape(ids)) < self.id_dropout
            inputs = {**inputs, "item_id": tf.where(hidden, tf.constant(OUT_OF_VOCABULARY, ids.dtype), ids)}
        return super().call(inputs, **kwargs)


def two_tower(
    shape: Shape,
    counts: np.ndarray,
    temperature: float,
    item_id_dropout: float = 0.0,
    beside: Drawn | None = None,
    policy: str = precision.WHOLE,
) -> mm.RetrievalModelV2:
    """An untrained model: both towers pool through one item table, and the loss is logQ-corrected softmax.

    Args:
        shape: columns and sizes.
        counts: float ``[item codes]``, how often each item is expected among a query's negatives
            (``train.negatives.expected``). An item that is often a target is as often a negative of others; subtracting
            the log of that undoes it (Yi et al., RecSys 2019). Ones switch the correction off.
        temperature: divides the cosine similarities.
        item_id_dropout: share of the items taken whose id is hidden; without attributes none is.
        beside: negatives beside the other items of the batch; None for those alone.
        policy: by which the dense layers compute (``train/precision.py``).
    """
    query_schema, item_schema = _query_schema(shape), _item_schema(shape)
    items = ItemTable(
        shape.dim,
        item_schema["item_id"],
        query_schema[RECENT_ITEMS],
        sequence_combiner=RecencyPooling(RECENT_WEIGHTS),
        embeddings_initializer=tf.keras.initializers.RandomNormal(stddev=_STDDEV),  # pyright: ignore[reportArgumentType]
        name="item_table",
    )
    items.id_dropout = item_id_dropout if len(shape.item_columns) + len(shape.item_numbers) > 1 else 0.0
    candidate = _tower(shape, item_schema, item_schema.excluding_by_name(["item_id"]), items, policy)
    return mm.RetrievalModelV2(  # pyright: ignore[reportReturnType]
        query=_tower(shape, query_schema, query_schema.select_by_tag(Tags.USER), items, policy),
        candidate=candidate,
        output=sampled_softmax(item_schema, counts, temperature, beside and DrawnItems(beside, candidate)),
    )


def sampled_softmax(
    item_schema: Schema, counts: np.ndarray, temperature: float, drawn: DrawnItems | None
) -> mm.ContrastiveOutput:
    """The loss over dots of embeddings: what was taken among its negatives, in place of the whole catalogue."""
    return mm.ContrastiveOutput(
        DotProduct(),
        ["in-batch", drawn] if drawn else "in-batch",
        schema=item_schema.select_by_tag(Tags.ITEM_ID),
        post=CountCorrection(counts, temperature),
        logits_temperature=temperature,
        store_negative_ids=True,
    )


def _tower(shape: Shape, schema: Schema, attributes: Schema, items: mm.EmbeddingTable, policy: str) -> mm.Encoder:
    """The item table's part, an embedding by attribute and numbers side by side, through two layers to unit length."""
    branches: dict[str, tf.keras.layers.Layer] = {"items": items}
    categorical, numbers = attributes.select_by_tag(Tags.CATEGORICAL), attributes.select_by_tag(Tags.CONTINUOUS)
    if len(categorical):
        dims = {column.name: shape.width(column.name) for column in categorical}
        branches["attributes"] = mm.Embeddings(categorical, dim=dims)
    if len(numbers):
        branches["numbers"] = Numbers(tuple(numbers.column_names))
    with precision.layers(policy):
        dense = mm.MLPBlock([2 * shape.dim, shape.dim], activation="relu", no_activation_last_layer=True)
    columns = mm.ParallelBlock(branches, schema=schema, aggregation="concat")
    return mm.Encoder(columns, dense, post=mm.L2Norm())  # pyright: ignore[reportReturnType]


def _query_schema(shape: Shape) -> Schema:
    fixed = ((0, None), (shape.recent_items, shape.recent_items))
    weights = ColumnSchema(RECENT_WEIGHTS, dtype=np.float32, tags=[Tags.CONTINUOUS, Tags.SEQUENCE])
    return Schema(
        [
            *(_categorical(name, name, codes, Tags.USER) for name, codes in shape.user_columns.items()),
            _categorical(RECENT_ITEMS, "item_id", shape.item_columns["item_id"], Tags.SEQUENCE).with_shape(fixed),
            weights.with_shape(fixed),
        ]
    )


def _item_schema(shape: Shape) -> Schema:
    columns = [_categorical(name, name, codes, Tags.ITEM) for name, codes in shape.item_columns.items()]
    columns[0] = columns[0].with_tags([Tags.ITEM_ID])
    tags = [Tags.CONTINUOUS, Tags.ITEM]
    return Schema([*columns, *(ColumnSchema(name, dtype=np.float32, tags=tags) for name in shape.item_numbers)])


def _categorical(name: str, domain: str, codes: int, tag: Tags) -> ColumnSchema:
    properties = {"domain": {"name": domain, "min": 0, "max": codes - 1}}
    return ColumnSchema(name, dtype=np.int64, tags=[Tags.CATEGORICAL, tag], properties=properties)
