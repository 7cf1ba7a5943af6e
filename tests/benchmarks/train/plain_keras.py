"""The peers: the two-tower and the ranker (DCN-v2) in plain Keras, as one would write them without Merlin.

Functional models, ``tf.data`` from arrays that lie in the graph, Keras's own Adam and ``fit``. Same columns, widths,
losses, batches and weights to learn: ``measured`` counts them, and figures are told only when they are equal.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from train.pairs import Pairs
from train.ranking_loss import LIST, PADDED, loss_of
from train.ranking_model import _CROSS_LAYERS, _DIM
from train.towers import Shape

layers = tf.keras.layers


def two_tower(shape: Shape, counts: np.ndarray, temperature: float, rate: float) -> tf.keras.Model:
    """Logits ``[batch, batch]``, corrected by expected counts; other places of a query's own item are masked."""
    users = {name: layers.Input((), dtype=tf.int64, name=name) for name in shape.user_columns}
    items = {name: layers.Input((), dtype=tf.int64, name=f"item_{name}") for name in shape.item_columns}
    recent = layers.Input((shape.recent_items,), dtype=tf.int32, name="recent_items")
    weights = layers.Input((shape.recent_items,), dtype=tf.float32, name="recent_weights")
    table = layers.Embedding(shape.item_columns["item_id"], shape.dim, name="items")

    def tower(first, inputs):
        columns = {**shape.user_columns, **shape.item_columns}
        attributes = [layers.Embedding(columns[name], shape.width(name))(value) for name, value in inputs.items()]
        hidden = layers.Dense(2 * shape.dim, "relu")(layers.Concatenate()([first, *attributes]))
        return tf.math.l2_normalize(layers.Dense(shape.dim)(hidden), axis=1)

    mean = tf.math.divide_no_nan(
        tf.einsum("bld,bl->bd", table(recent), weights), tf.reduce_sum(weights, axis=1, keepdims=True)
    )
    query = tower(mean, users)
    item = tower(table(items["item_id"]), {name: value for name, value in items.items() if name != "item_id"})
    same = tf.equal(items["item_id"][:, None], items["item_id"][None, :])
    own = tf.eye(tf.shape(same)[0])
    off = tf.gather(tf.constant(np.log(counts), tf.float32), items["item_id"])
    logits = tf.matmul(query, item, transpose_b=True) / temperature - off * (1 - own)
    others = tf.logical_and(same, own < 1)
    model = tf.keras.Model([*users.values(), *items.values(), recent, weights], tf.where(others, -1e9, logits))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(rate), loss)
    return model


def pairs(learned: Pairs, item_codes: dict[str, np.ndarray], names, batch: int, dropout: float, seed: int):
    """Batches of pairs in random order, some ids hidden."""
    row, item = tf.constant(learned.row), tf.constant(learned.item)
    codes = {name: tf.constant(learned.queries.user_codes[:, i]) for i, name in enumerate(names)}
    lists = tf.constant(learned.queries.recent_items), tf.constant(learned.queries.recent_weights)
    attributes = {name: tf.constant(values) for name, values in item_codes.items()}

    def gather(chosen):
        at, code = tf.gather(row, chosen), tf.gather(item, chosen)
        columns = {name: tf.gather(values, at) for name, values in codes.items()}
        hidden = tf.random.uniform((batch,)) < dropout
        columns["user_id"] = tf.where(hidden, tf.constant(2, tf.int64), columns["user_id"])
        columns |= {f"item_{name}": tf.gather(values, code) for name, values in attributes.items()}
        columns |= {"recent_items": tf.gather(lists[0], at), "recent_weights": tf.gather(lists[1], at)}
        return columns, tf.range(batch)

    number = len(learned.row)
    order = tf.data.Dataset.range(number).shuffle(number, seed=seed)
    return order.batch(batch, drop_remainder=True).map(gather).prefetch(tf.data.AUTOTUNE)


def ranker(sizes: dict[str, int], numbers: int, settings) -> tf.keras.Model:
    """DCN-v2 (Wang et al., WWW 2021), deep layers behind cross layers, as Merlin's DCNModel stacks them."""
    l2 = tf.keras.regularizers.l2(settings.ranker_l2)
    codes = layers.Input((len(sizes),), dtype=tf.int64)
    values = layers.Input((numbers,))
    columns = [values]
    penalty = 0.0
    for i, size in enumerate(sizes.values()):
        looked_up = layers.Embedding(size, min(_DIM, max(2, int(size**0.5))))(codes[:, i])
        penalty += settings.ranker_l2 * tf.reduce_sum(looked_up**2)
        columns.append(looked_up)
    first = crossed = layers.Concatenate()(columns)
    for _ in range(_CROSS_LAYERS):
        crossed = first * layers.Dense(first.shape[1])(crossed) + crossed
    hidden = crossed
    for width in (settings.ranker_width, settings.ranker_width // 2):
        hidden = layers.Dense(width, "relu", kernel_regularizer=l2)(hidden)
    model = tf.keras.Model([codes, values], layers.Dense(1)(hidden))
    model.add_loss(penalty)
    model.compile(tf.keras.optimizers.Adam(settings.ranker_learning_rate), loss_of(settings))
    return model


def requests(learned, rows: np.ndarray, inputs, settings):
    """Batches of whole lists of candidates, as long as ``train.ranking_rows`` makes them."""
    standard = ((learned.continuous - inputs.mean) / inputs.deviation).astype(np.float32)
    codes, values, label = map(tf.constant, (learned.categorical, standard, learned.label))

    def gather(chosen):
        at = tf.reshape(chosen, (-1,))
        held = tf.maximum(at, 0)
        target = tf.where(at >= 0, tf.gather(label, held), PADDED)[:, None]
        return (tf.gather(codes, held), tf.gather(values, held)), target

    together = max(1, settings.ranker_batch // LIST)
    order = tf.data.Dataset.from_tensor_slices(rows).shuffle(len(rows), seed=settings.seed)
    return order.batch(together, drop_remainder=True).map(gather).prefetch(tf.data.AUTOTUNE)
