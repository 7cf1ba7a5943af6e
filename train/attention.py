"""The two-tower whose query tower reads the recent items in their order: causal self-attention (SASRec).

Kang & McAuley, "Self-attentive sequential recommendation", ICDM 2018, with a softmax over the whole catalogue in place
of one sampled negative (Klenitskiy & Vasilev, "Turning dross into gold loss", RecSys 2023). Lists lie newest first, as
they are served: a token sees itself and what lies behind it, so the state of token i is the query of a user whose
newest interaction is i. One pass over a sequence thus trains every one of its prefixes; serving takes token 0's state.
"""

# pyright: reportIncompatibleMethodOverride=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportOptionalMemberAccess=false
# (Keras's stubs are not those of its layers)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from contracts.features import FIRST_VALUE, OUT_OF_VOCABULARY, PAD
from train import precision
from train.towers import RECENT_ITEMS, Shape

Columns = Mapping[str, Any]

#: Columns of a training batch beside the query's: of each pair its sequence, its token there, the item taken, and the
#: context in which it was.
SEQUENCE, TOKEN, TARGET, CONTEXT = "sequence", "token", "target", "context"
_BLOCKS, _HEADS, _DROPOUT = 2, 2, 0.2
_STDDEV = 0.02


class Block(tf.keras.layers.Layer):
    """Masked self-attention, then two dense layers, each added to its input after layer normalisation."""

    def __init__(self, dim: int, policy: str):
        super().__init__()
        layers = tf.keras.layers
        self._normal, self._normal_wide = (layers.LayerNormalization(epsilon=1e-6) for _ in range(2))
        with precision.layers(policy):
            self._projections, self._out = layers.Dense(3 * dim, use_bias=False), layers.Dense(dim)
            self._wide, self._narrow = layers.Dense(2 * dim, activation="gelu"), layers.Dense(dim)
        self._dropout = layers.Dropout(_DROPOUT)
        self._dim = dim

    def call(self, tokens: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """``tokens`` float32 ``[b, n, dim]``; ``mask`` ``[b, 1, n, n]`` is added to the weights' logits."""
        size, length = tf.shape(tokens)[0], tf.shape(tokens)[1]
        width = self._dim // _HEADS

        def heads(values: tf.Tensor) -> tf.Tensor:
            return tf.transpose(tf.reshape(values, (size, length, _HEADS, width)), (0, 2, 1, 3))

        query, key, value = map(heads, tf.split(self._projections(self._normal(tokens)), 3, axis=-1))
        # Only products are taken in the policy's bits: the mask would be infinite in float16.
        weights = tf.nn.softmax(tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) / width**0.5 + mask)
        mixed = tf.matmul(tf.cast(self._dropout(weights, training=training), value.dtype), value)
        mixed = tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (size, length, self._dim))
        tokens += self._dropout(self._out(mixed), training=training)
        wide = self._narrow(self._wide(self._normal_wide(tokens)))
        return tokens + self._dropout(wide, training=training)


class SequenceTwoTower(tf.keras.Model):
    """Both towers over one item table; an embedding is the sum of an id's and its attributes', and a dot the logit."""

    def __init__(
        self,
        shape: Shape,
        item_columns: Mapping[str, np.ndarray],
        item_id_dropout: float = 0.0,
        policy: str = precision.WHOLE,
    ):
        """An untrained model.

        Args:
            shape: columns and sizes; of the users' columns the id is not used: who he is, is what he did.
            item_columns: item column -> values by item code (``train.tables.Catalogue.item_columns``).
            item_id_dropout: share of the catalogue whose ids a step hides; without attributes none is.
            policy: by which the blocks' dense layers compute (``train/precision.py``).
        """
        super().__init__()
        dim = shape.dim

        def table(name: str, size: int) -> tf.Variable:
            initial = tf.keras.initializers.RandomNormal(stddev=_STDDEV)
            return self.add_weight(name=name, shape=(size, dim), initializer=initial)

        self._items = {name: table(f"item/{name}", size) for name, size in shape.item_columns.items()}
        users = {name: size for name, size in shape.user_columns.items() if name != "user_id"}
        self._users = {name: table(f"user/{name}", size) for name, size in users.items()}
        self._contexts = shape.context
        self._slopes = {name: table(f"item/{name}", 1) for name in shape.item_numbers}
        self._positions = table("positions", shape.recent_items)
        self._item_columns = dict(item_columns)
        self._item_id_dropout = item_id_dropout if len(item_columns) > 1 else 0.0
        self._blocks = [Block(dim, policy) for _ in range(_BLOCKS)]
        self._normal = tf.keras.layers.LayerNormalization(epsilon=1e-6)
        self._dropout = tf.keras.layers.Dropout(_DROPOUT)
        self._scale = dim**0.5
        self._loss = tf.keras.metrics.Mean()

    def candidate_encoder(self, columns: Columns) -> tf.Tensor:
        """Item embeddings float32 ``[b, dim]`` of columns ``[b, 1]``."""
        return self._embedded({name: columns[name][:, 0] for name in (*self._items, *self._slopes)})

    def query_encoder(self, columns: Columns) -> tf.Tensor:
        """Query embeddings float32 ``[b, dim]`` of user columns ``[b, 1]`` and recent items ``[b, recent_items]``."""
        codes = {name: columns[name][:, 0] for name in self._users}
        return self.states(columns[RECENT_ITEMS])[:, 0] + self._user_part(codes, tf.shape(columns[RECENT_ITEMS])[0])

    def states(self, recent: tf.Tensor, training: bool = False) -> tf.Tensor:
        """State of every token, float32 ``[b, n, dim]``; zeros where padded.

        Args:
            recent: int ``[b, n]`` item codes, newest first, 0 pads on the right.
            training: whether to drop out.
        """
        recent = tf.cast(recent, tf.int64)
        held = tf.not_equal(recent, PAD)
        place = tf.range(tf.shape(recent)[1])
        length = tf.reduce_sum(tf.cast(held, tf.int32), axis=1, keepdims=True)
        # The oldest has position 0, so that a prefix has the same positions in training as when it is served.
        position = tf.maximum(length - 1 - place, 0)
        tokens = self._tokens(recent) * self._scale + tf.gather(self._positions, position)
        tokens = self._dropout(tokens, training=training)
        seen = (place[None, :] >= place[:, None])[None] & held[:, None, :]
        mask = tf.where(seen, 0.0, -1e9)[:, None]
        for block in self._blocks:
            tokens = block(tokens, mask, training=training)
        return self._normal(tokens) * tf.cast(held, tf.float32)[..., None]

    def train_step(self, data: Columns) -> dict[str, tf.Tensor]:
        """One step over whole sequences: softmax over the catalogue at every token that something was taken after."""
        with tf.GradientTape() as tape:
            loss = self.pair_loss(data)
        # Not `apply_gradients`: Horovod takes the mean over the ranks where an optimizer computes the gradients.
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self._loss.update_state(loss)
        return {"loss": self._loss.result()}

    def pair_loss(self, data: Columns, training: bool = True) -> tf.Tensor:
        """Mean cross-entropy of a batch's pairs."""
        states = tf.gather_nd(
            self.states(data[RECENT_ITEMS], training), tf.stack([data[SEQUENCE], data[TOKEN]], axis=1)
        )
        codes = {name: tf.gather(data[name][:, 0], data[SEQUENCE]) for name in self._users}
        codes |= {name: data[CONTEXT][:, i] for i, name in enumerate(self._contexts)}
        queries = states + self._user_part(codes, tf.shape(states)[0])
        catalogue = tf.range(FIRST_VALUE, self._items["item_id"].shape[0], dtype=tf.int64)
        hidden = tf.random.uniform(tf.shape(catalogue)) < self._item_id_dropout * float(training)
        logits = tf.matmul(queries, self._tokens(catalogue, hidden), transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(data[TARGET] - FIRST_VALUE, logits)
        return tf.reduce_mean(losses)

    def _tokens(self, codes: tf.Tensor, hidden: tf.Tensor | None = None) -> tf.Tensor:
        """Item embeddings of codes of any shape, attributes looked up; ``hidden`` tells whose id is not."""
        # Constants of the graph, so that they are in the exported one: a tensor made outside would be an input of it.
        tables = {name: tf.constant(by_code) for name, by_code in self._item_columns.items()}
        columns = {name: tf.gather(table, codes) for name, table in tables.items()}
        if hidden is not None:
            columns["item_id"] = tf.where(hidden, tf.constant(OUT_OF_VOCABULARY, tf.int64), columns["item_id"])
        return self._embedded(columns)

    def _embedded(self, columns: Columns) -> tf.Tensor:
        """The sum of what each item column adds, float32 ``[..., dim]`` of columns ``[...]``."""
        parts = [tf.gather(table, columns[name]) for name, table in self._items.items()]
        return _sum([*parts, *(columns[name][..., None] * slope for name, slope in self._slopes.items())])

    def _user_part(self, codes: Columns, size: tf.Tensor) -> tf.Tensor:
        """What attributes and context add to queries, float32 ``[size, dim]`` of codes ``[size]``; 0 without any."""
        parts = [tf.gather(self._users[name], codes[name]) for name in self._users]
        return _sum(parts) if parts else tf.zeros((size, self._positions.shape[1]))


def _sum(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.add_n(parts)
