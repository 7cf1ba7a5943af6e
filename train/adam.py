"""Adam as the models here want it: one operation a variable, whatever kind its gradient is."""

# pyright: reportIncompatibleMethodOverride=false, reportAttributeAccessIssue=false
# (Keras's stubs are not those of its optimizers)

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf


class Adam(tf.keras.optimizers.legacy.Adam):
    """Keras's Adam (Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015) with gradients made dense.

    Of a sparse gradient, such as that of rows looked up in a table, Keras moves the whole table as well, by some twenty
    small operations that look for repeated rows first. Summed into a dense one it is the same step, and TensorFlow
    has a single operation for it, which only this older one of Keras's two optimizers uses.
    """

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, tf.Variable]], *others: Any, **named: Any) -> Any:
        """As Keras's."""
        dense = [
            (tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient, variable)
            for gradient, variable in grads_and_vars
        ]
        return super().apply_gradients(dense, *others, **named)
