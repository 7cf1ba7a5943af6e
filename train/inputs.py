"""What the towers take in: their shapes for a catalogue, their columns, and the batches of an epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from contracts.config import Config
from contracts.features import OUT_OF_VOCABULARY, query_columns
from train import ranks
from train.attention import CONTEXT, SEQUENCE, TARGET, TOKEN
from train.batches import batches as drawn
from train.batches import constant
from train.pairs import Pairs, Queries
from train.sequences import Sequences
from train.tables import Catalogue
from train.towers import RECENT_ITEMS, RECENT_WEIGHTS, Shape

Columns = dict[str, Any]
#: From a batch's number and its examples to its columns.
Gather = Callable[[tf.Tensor, tf.Tensor], Columns]


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


def batches(config: Config, held: Catalogue, learned: Pairs | Sequences, epochs: int) -> tuple[tf.data.Dataset, int]:
    """The towers' batches of all epochs, and how many an epoch has: of the rank that has fewest.

    The arrays lie in the graph and a batch is gathered there, without Python.
    """
    gather = _sequences(config, learned) if isinstance(learned, Sequences) else _pairs(config, held, learned)
    wanted, number = config.train.retrieval_batch, learned.number
    # Of sequences, which have different numbers of pairs, as many as have ``wanted`` pairs on average.
    size = number // learned.steps(wanted) if isinstance(learned, Sequences) else min(wanted, number)
    steps = ranks.least(learned.steps(wanted))
    return drawn(gather, number, size, steps, epochs, config.train.seed), steps


def _pairs(config: Config, held: Catalogue, learned: Pairs) -> Gather:
    """Columns of pairs; the ids of some users are hidden, which trains the path that serves one never seen."""
    settings, names = config.train, query_columns(config.features)
    rows, row = np.unique(learned.row, return_inverse=True)
    known, places, items = _constants(learned.queries.take(rows)), constant(row), constant(learned.item)
    by_code = {name: constant(codes) for name, codes in held.item_columns.items()}

    def gather(step, chosen):
        columns = query_inputs(_some(known, tf.gather(places, chosen)), names)
        hidden = tf.random.stateless_uniform(tf.shape(chosen), (settings.seed, step)) < settings.id_dropout
        unknown = tf.constant(OUT_OF_VOCABULARY, tf.int64)
        columns["user_id"] = tf.where(hidden[:, None], unknown, columns["user_id"])
        item = tf.gather(items, chosen)
        return columns | {name: tf.gather(codes, item)[:, None] for name, codes in by_code.items()}

    return gather


def _sequences(config: Config, learned: Sequences) -> Gather:
    """Columns of whole sequences, their lists cut to the longest, and of every pair its sequence, token and item."""
    names = query_columns(config.features)
    starts = constant(np.searchsorted(learned.sequence, np.arange(learned.number + 1)))
    known, tokens, items = _constants(learned.queries), constant(learned.token), constant(learned.item)
    contexts = constant(learned.context)

    def gather(_step, chosen):
        queries = _some(known, chosen)
        first, sizes = tf.gather(starts, chosen), tf.gather(starts, chosen + 1) - tf.gather(starts, chosen)
        sequence = tf.repeat(tf.range(tf.size(chosen, tf.int64)), sizes)
        pair = tf.repeat(first - tf.cumsum(sizes) + sizes, sizes) + tf.range(tf.size(sequence, tf.int64))
        # A token more than the longest list: where a user without any has his.
        longest = tf.reduce_max(tf.math.count_nonzero(queries.recent_items, axis=1)) + 1
        columns = query_inputs(queries, names)
        cut = {name: columns[name][:, :longest] for name in (RECENT_ITEMS, RECENT_WEIGHTS)}
        taken = {TOKEN: tf.gather(tokens, pair), TARGET: tf.gather(items, pair), CONTEXT: tf.gather(contexts, pair)}
        return columns | cut | {SEQUENCE: sequence, **taken}

    return gather


def _constants(queries: Queries) -> Any:
    """Queries whose arrays are tensors."""
    parts: list[Any] = [constant(getattr(queries, field.name)) for field in dataclasses.fields(queries)]
    return Queries(*parts)


def _some(known: Any, rows: tf.Tensor) -> Any:
    """Some rows of such queries."""
    parts: list[Any] = [tf.gather(getattr(known, field.name), rows) for field in dataclasses.fields(known)]
    return Queries(*parts)
