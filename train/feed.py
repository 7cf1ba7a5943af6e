"""How examples reach the two-tower model: its inputs by column, and epochs of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from contracts.config import Config
from contracts.features import query_columns
from train.attention import SEQUENCE, TARGET, TOKEN
from train.pairs import Pairs, Queries
from train.sequences import Sequences
from train.tables import Catalogue
from train.towers import RECENT_ITEMS, RECENT_WEIGHTS


def query_inputs(queries: Queries, names: tuple[str, ...]) -> dict[str, Any]:
    """The query tower's inputs by Merlin's column names: scalars ``[batch, 1]``, lists ``[batch, recent_items]``."""
    columns = {name: queries.user_codes[:, i : i + 1] for i, name in enumerate(names)}
    return columns | {RECENT_ITEMS: queries.recent_items, RECENT_WEIGHTS: queries.recent_weights}


def item_inputs(held: Catalogue, codes: np.ndarray) -> dict[str, np.ndarray]:
    """The item tower's inputs for item codes: a column each, int64 ``[batch, 1]``."""
    return {name: by_code[codes][:, None] for name, by_code in held.item_codes.items()}


def batches(
    config: Config, held: Catalogue, learned: Pairs | Sequences, generator: np.random.Generator
) -> tf.data.Dataset:
    """An epoch of ``learned`` in another order each time, made while the step before is under way."""
    if isinstance(learned, Sequences):
        # Lists are as long as the longest of their batch.
        epoch, ragged = _by_order(config, learned, generator), (RECENT_ITEMS, RECENT_WEIGHTS)
    else:
        epoch, ragged = _by_mean(config, held, learned, generator), ()
    signature = {
        name: tf.TensorSpec((None, None) if name in ragged else (None, *value.shape[1:]), value.dtype)
        for name, value in next(epoch()).items()
    }
    return tf.data.Dataset.from_generator(epoch, output_signature=signature).prefetch(2)


def _by_mean(config: Config, held: Catalogue, learned: Pairs, generator: np.random.Generator):
    settings, names = config.train, query_columns(config.features)

    def epoch() -> Iterator[dict[str, np.ndarray]]:
        for queries, item in learned.batches(settings.retrieval_batch, settings.id_dropout, generator):
            yield query_inputs(queries, names) | item_inputs(held, item)

    return epoch


def _by_order(config: Config, learned: Sequences, generator: np.random.Generator):
    names = query_columns(config.features)

    def epoch() -> Iterator[dict[str, np.ndarray]]:
        for queries, sequence, token, target in learned.batches(config.train.retrieval_batch, generator):
            yield query_inputs(queries, names) | {SEQUENCE: sequence, TOKEN: token, TARGET: target}

    return epoch
