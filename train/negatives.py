"""What a query is told from beside the other items of its batch: items drawn from the whole catalogue.

Items of a batch come up as often as they are taken, so that the long tail is hardly ever a negative; some drawn evenly
mend that (mixed negative sampling, Yang et al., WWW 2020 companion), or by a power of the frequency (Mikolov et al.,
NeurIPS 2013). Both kinds stand in one softmax, so what is taken off an item's logit is the log of how often it is
expected there by both ways together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from merlin.models.tf.outputs.sampling.base import Candidate, CandidateSampler

from contracts.features import FIRST_VALUE

Embed = Callable[..., tf.Tensor]

#: Keeps the logarithm finite for what is never a negative.
_LEAST_COUNT = 1e-9


@dataclasses.dataclass(frozen=True)
class Drawn:
    """How negatives are drawn from the catalogue.

    Attributes:
        number: of a batch, the same for all its queries.
        chances: float64 ``[item codes]``, the probability of each; the reserved codes have none.
        columns: column of the item tower -> its values by item code.
    """

    number: int
    chances: np.ndarray
    columns: Mapping[str, np.ndarray]


def drawn(number: int, power: float, frequencies: np.ndarray, columns: Mapping[str, np.ndarray]) -> Drawn:
    """Items drawn by a power of their frequency: 0 draws evenly, 1 as often as they are taken."""
    chances = np.r_[np.zeros(FIRST_VALUE), frequencies[FIRST_VALUE:].astype(np.float64) ** power]
    return Drawn(number, chances / chances.sum(), columns)


def expected(frequencies: np.ndarray, batch: int, beside: Drawn | None) -> np.ndarray:
    """How often each item is expected among a query's negatives, float64 ``[item codes]``.

    Args:
        frequencies: how often each is taken in training.
        batch: pairs of a batch.
        beside: what is drawn as well.
    """
    others = frequencies / frequencies.sum() * max(batch - 1, 1)
    return others if beside is None else others + beside.number * beside.chances


@tf.keras.utils.register_keras_serializable(package="trireme")
class CountCorrection(tf.keras.layers.Layer):
    """Takes log of its expected count off every negative's logit: their sum then stands for that of the catalogue.

    What was taken is there by itself, not by draw, and keeps its logit: where its other places in the batch are masked,
    as Merlin does, the loss is then that of the whole catalogue, but for chance (Khrylchenko et al., "Correcting the
    LogQ correction", RecSys 2025).
    """

    def __init__(self, counts: np.ndarray, temperature: float):
        """``counts`` of ``expected``. Merlin divides by the temperature afterwards, so the correction is multiplied."""
        super().__init__()
        self._off = (temperature * np.log(np.maximum(counts, _LEAST_COUNT))).astype(np.float32)

    def call(self, outputs: Any, training: bool = False, **kwargs: Any) -> Any:
        """Merlin's ``Prediction``, logits ``[b, 1 + negatives]`` with the taken item's first, corrected in training."""
        if not training:
            return outputs
        off = tf.gather(tf.constant(self._off), tf.reshape(outputs.negative_candidate_ids, (1, -1)))
        return outputs.copy_with_updates(outputs=outputs.predictions - tf.pad(off, ((0, 0), (1, 0))))


class DrawnItems(CandidateSampler):
    """``Drawn`` as a sampler of Merlin's: other items at every step, embedded by the item tower as it is then."""

    def __init__(self, beside: Drawn, embed: Embed):
        """``embed(columns, training=...)`` is the item tower; a closure, or Keras would count its weights twice."""
        super().__init__(max_num_samples=beside.number)
        self._number, self._embed = beside.number, lambda *inputs, **how: embed(*inputs, **how)
        self._steps = np.cumsum(beside.chances)
        self._columns = dict(beside.columns)

    def add(self, items: Candidate) -> None:
        """Nothing of the batch is kept."""

    def sample(self, training: bool = False) -> Candidate:
        """Ids int64 ``[number, 1]`` with their embeddings."""
        steps = tf.constant(self._steps, tf.float64)
        codes = tf.searchsorted(steps, tf.random.uniform((self._number,), dtype=tf.float64) * steps[-1], side="right")
        codes = tf.minimum(tf.cast(codes, tf.int64), len(self._steps) - 1)
        columns = {name: tf.gather(tf.constant(values), codes)[:, None] for name, values in self._columns.items()}
        return Candidate(codes[:, None], {}).with_embedding(self._embed(columns, training=training))

    def call(self, items: Candidate, features=None, targets=None, training=False, testing=False) -> Candidate:
        """Drawn anew, whatever the batch holds."""
        return self.sample(training)
