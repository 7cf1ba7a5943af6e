import numpy as np
import pytest
import tensorflow as tf

from train.ranking_loss import LIST, PADDED, binary, known_squares, listwise


def column(*lists):
    padded = np.full((len(lists), LIST), PADDED, np.float32)
    for row, values in zip(padded, lists):
        row[: len(values)] = values
    return tf.constant(padded.reshape(-1, 1))


def test_the_binary_loss_is_the_mean_cross_entropy_of_what_is_not_padding():
    logits = column([0.3, -1.2, 2.0], [0.5])
    entropy = np.log1p(np.exp([-0.3, -1.2, 2.0, 0.5]))
    assert float(binary(column([1, 0, 0], [0]), logits)) == pytest.approx(entropy.mean(), rel=1e-5)


def test_the_listwise_loss_is_the_mean_over_lists_of_their_hits_log_share_of_the_softmax():
    first, second = np.array([0.3, -1.2, 2.0]), np.array([0.5, 0.1])
    expected = [
        -(first[:2] - np.log(np.exp(first).sum())).mean(),  # two hits of equal share
        -(second[1] - np.log(np.exp(second).sum())),
    ]
    found = listwise(column([1, 1, 0], [0, 1]), column(first, second))
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_list_without_hits_teaches_the_listwise_loss_nothing():
    logits = tf.Variable(column([0.3, -1.2]))
    with tf.GradientTape() as tape:
        loss = listwise(column([0, 0]), logits)
    assert float(loss) == 0 and not np.any(tape.gradient(loss, logits))


def test_what_has_no_target_neither_counts_nor_spoils_the_gradient():
    predicted = tf.Variable([[1.0], [5.0], [0.0]])
    with tf.GradientTape() as tape:
        loss = known_squares(tf.constant([[0.0], [np.nan], [2.0]]), predicted)
    assert float(loss) == pytest.approx((1 + 4) / 2)
    assert tape.gradient(loss, predicted).numpy()[:, 0].tolist() == pytest.approx([1.0, 0.0, -2.0])
    assert float(known_squares(tf.constant([[np.nan]]), tf.constant([[1.0]]))) == 0
