"""Mixed precision: deep layers compute in half the bits, while weights, embeddings, logits and losses keep all of them.

Micikevicius et al., "Mixed precision training", ICLR 2018. What is so trained is a twin of the model proper, which
computes in float32 throughout: it takes over the twin's weights, and is what is judged, exported and kept. **Not run on
a GPU**; tests/train/test_precision.py trains on a CPU in bfloat16.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

#: All bits everywhere.
WHOLE = "float32"
#: Least compute capability of a GPU whose tensor cores multiply float16.
_CAPABLE = (7, 0)


def policy(wanted: str) -> str:
    """The Keras policy that ``train.mixed_precision`` means on this machine."""
    if wanted != "auto":
        return WHOLE if wanted == "off" else wanted
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capable = [each.get("compute_capability", (0, 0)) >= _CAPABLE for each in details]
    return "mixed_float16" if capable and all(capable) else WHOLE


@contextlib.contextmanager
def layers(name: str) -> Iterator[None]:
    """Layers that are made within compute by a policy."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def optimizer(plain: Any, name: str) -> Any:
    """An optimizer that scales the loss where gradients would vanish in float16; bfloat16 has float32's range."""
    return tf.keras.mixed_precision.LossScaleOptimizer(plain) if name == "mixed_float16" else plain


def take_over(model: Any, trained: Any) -> None:
    """Give a model the weights of its twin; both have been called once. A model that trained itself has them."""
    if model is not trained:
        for variable, source in zip(model.trainable_variables, trained.trainable_variables, strict=True):
            variable.assign(source)
