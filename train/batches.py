"""Which examples come together, drawn within TensorFlow: without Python between two steps, and the same by the seed."""

# pyright: reportAttributeAccessIssue=false
# (tf.random.experimental is not in TensorFlow's stubs)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def batches(
    gather: Callable[[tf.Tensor, tf.Tensor], Any], number: int, size: int, steps: int, epochs: int, seed: int
) -> tf.data.Dataset:
    """All batches of all epochs one after the other, every epoch in another order.

    Args:
        gather: from a batch's number int64, which is another one for each, and its examples int64 ``[size]`` to what
            the model takes in.
        number: of examples.
        size: examples of a batch.
        steps: batches of an epoch, at most ``number // size``; examples that are left over are others every epoch.
        epochs: how many.
        seed: chooses the orders.
    """

    def epoch(which: tf.Tensor) -> tf.data.Dataset:
        # One operation for the order of an epoch: tf.data's own shuffle goes from example to example.
        order = tf.random.experimental.stateless_shuffle(tf.range(number, dtype=tf.int64), (seed, which))
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order[: steps * size], (steps, size)))

    return tf.data.Dataset.range(epochs).flat_map(epoch).enumerate().map(gather).prefetch(2)


def constant(array: np.ndarray) -> tf.Tensor:
    """An array from which batches are gathered, in the host's memory: there tf.data works, also beside a GPU."""
    with tf.device("CPU:0"):
        return tf.constant(array)
