import numpy as np
import tensorflow as tf

from train.adam import Adam


def trained(optimizer) -> tuple[np.ndarray, np.ndarray]:
    """A table and a matrix after a few steps on rows that repeat, some of them looked up in the first step alone."""
    generator = np.random.default_rng(3)
    table = tf.Variable(generator.normal(size=(9, 2)).astype(np.float32))
    matrix = tf.Variable(generator.normal(size=(2, 2)).astype(np.float32))
    for rows in ([0, 0, 4, 7], [1, 2, 2, 2], [1, 5, 8, 8], [0, 1, 2, 3]):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.matmul(tf.gather(table, rows), matrix) ** 2)
        gradients = tape.gradient(loss, [table, matrix])
        assert isinstance(gradients[0], tf.IndexedSlices)
        optimizer.apply_gradients(zip(gradients, [table, matrix]))
    return table.numpy(), matrix.numpy()


def test_a_sparse_gradient_is_the_step_that_keras_takes_of_it():
    for ours, keras in zip(trained(Adam(0.1)), trained(tf.keras.optimizers.Adam(0.1))):
        np.testing.assert_allclose(ours, keras, rtol=1e-4, atol=1e-6)
