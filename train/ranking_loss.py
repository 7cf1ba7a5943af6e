"""What the ranker minimises, over batches of whole lists: candidates of a request in ``LIST`` places, or padding."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from contracts.model_settings import TrainSettings

#: From targets and predictions, float32 ``[lists * LIST, 1]``, to a scalar.
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
#: Candidates of a request that are learned from in an epoch.
LIST = 64
#: The label of a place without a candidate.
PADDED = -1.0


def loss_of(settings: TrainSettings) -> Loss:
    """The loss of labels and logits that ``settings.ranker_loss`` names."""
    return {"binary": binary, "listwise": listwise}[settings.ranker_loss]


def binary(label: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of every candidate by itself."""
    held = tf.cast(label >= 0, logit.dtype)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(label, 0.0), logit)
    return tf.reduce_sum(entropy * held) / tf.reduce_sum(held)


def listwise(label: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """Mean over the lists of the cross-entropy between their hits, each of equal share, and the softmax of the logits.

    It bounds NDCG (Bruch et al., "An analysis of the softmax cross entropy loss for learning-to-rank", ICTIR 2019).
    """
    label, logit = tf.reshape(label, (-1, LIST)), tf.reshape(logit, (-1, LIST))
    hits = tf.maximum(label, 0.0)
    share = hits / tf.maximum(tf.reduce_sum(hits, axis=1, keepdims=True), 1.0)
    # Not tf.nn.softmax_cross_entropy_with_logits: its gradient takes for granted that every list has a hit.
    logged = tf.nn.log_softmax(tf.where(label >= 0, logit, -1e9))
    return -tf.reduce_mean(tf.reduce_sum(share * logged, axis=1))


def known_squares(target: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Mean squared error where there is a target; NaN says that there is none."""
    known = tf.math.logical_not(tf.math.is_nan(target))
    # Inside the square, or the gradient of what is masked away would be NaN as well.
    error = tf.where(known, target, 0.0) - tf.where(known, predicted, 0.0)
    return tf.reduce_sum(error**2) / tf.maximum(tf.reduce_sum(tf.cast(known, error.dtype)), 1.0)
