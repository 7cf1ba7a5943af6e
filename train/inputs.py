"""What the towers take in: their shapes for a catalogue, their columns, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from contracts.config import Config
from contracts.features import query_columns
from train.attention import CONTEXT, SEQUENCE, TARGET, TOKEN
from train.pairs import Pairs, Queries
from train.sequences import Sequences
from train.tables import Catalogue
from train.towers import RECENT_ITEMS, RECENT_WEIGHTS, Shape

Columns = dict[str, Any]
Epoch = Callable[[], Iterator[Columns]]


def shape(config: Config, held: Catalogue, widths: Mapping[str, int]) -> Shape:
    """Sizes of the towers for a catalogue; tables have room for every code that serving may send."""
    return Shape(
        held.query_sizes,
        {name: int(codes.max()) + 1 for name, codes in held.item_codes.items()},
        config.features.recent_items,
        config.train.embedding_dim,
        widths,
        tuple(held.item_numbers),
        config.features.context,
    )


def query_inputs(queries: Queries, names: tuple[str, ...]) -> Columns:
    """The query tower's inputs by Merlin's column names: scalars ``[batch, 1]``, lists ``[batch, recent_items]``."""
    columns = {name: queries.user_codes[:, i : i + 1] for i, name in enumerate(names)}
    return columns | {RECENT_ITEMS: queries.recent_items, RECENT_WEIGHTS: queries.recent_weights}


def item_inputs(held: Catalogue, codes: np.ndarray) -> Columns:
    """The item tower's inputs for item codes: a column each, ``[batch, 1]``, of codes int64 and of numbers float32."""
    return {name: by_code[codes][:, None] for name, by_code in held.item_columns.items()}


def epochs(config: Config, held: Catalogue, learned: Pairs | Sequences, generator: np.random.Generator) -> Epoch:
    """What makes the batches of an epoch, in another order each time."""
    settings, names = config.train, query_columns(config.features)

    def of_sequences() -> Iterator[Columns]:
        assert isinstance(learned, Sequences)
        for queries, sequence, token, target, context in learned.batches(settings.retrieval_batch, generator):
            taken = {SEQUENCE: sequence, TOKEN: token, TARGET: target, CONTEXT: context}
            yield query_inputs(queries, names) | taken

    def of_pairs() -> Iterator[Columns]:
        assert isinstance(learned, Pairs)
        for queries, item in learned.batches(settings.retrieval_batch, settings.id_dropout, generator):
            yield query_inputs(queries, names) | item_inputs(held, item)

    return of_sequences if isinstance(learned, Sequences) else of_pairs


def signature(epoch: Epoch) -> dict[str, tf.TensorSpec]:
    """Types and shapes of an epoch's batches. Lists of sequences are cut to the longest of a batch."""
    first = next(epoch())
    cut = (RECENT_ITEMS, RECENT_WEIGHTS) if SEQUENCE in first else ()
    shapes = {name: (None, None) if name in cut else (None, *value.shape[1:]) for name, value in first.items()}
    return {name: tf.TensorSpec(shapes[name], value.dtype) for name, value in first.items()}
