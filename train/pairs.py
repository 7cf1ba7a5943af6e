"""What the two-tower model learns from: pairs of (a user at an instant, an item that was new to him and taken then)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.artifacts import Zones
from contracts.blending import recent_weights
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import OUT_OF_VOCABULARY, PAD, query_columns
from train.tables import Catalogue, flat, numbers, padded, read

#: Columns of ``features/rows`` from which queries are made, beside ``contracts.features.query_columns``.
QUERY_FIELDS = ("as_of", "recent_item_codes", "recent_event_times")


@dataclasses.dataclass(frozen=True)
class Queries:
    """The query tower's inputs, by row.

    Attributes:
        user_codes: int64 ``[rows, query columns]``, the id first.
        recent_items: int32 ``[rows, recent_items]`` item codes, newest first, 0 pads.
        recent_weights: float32, the same shape, 0 where padded.
    """

    user_codes: np.ndarray
    recent_items: np.ndarray
    recent_weights: np.ndarray

    def take(self, rows: np.ndarray) -> Queries:
        """Some rows of all three."""
        return Queries(self.user_codes[rows], self.recent_items[rows], self.recent_weights[rows])


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Training pairs: ``row`` int64 into ``queries`` and the ``item`` code int64 that was taken there."""

    queries: Queries
    row: np.ndarray
    item: np.ndarray

    @property
    def number(self) -> int:
        """Of the pairs."""
        return len(self.row)

    def share(self, rank: int, size: int) -> Pairs:
        """Every ``size``-th pair from the ``rank``-th on, equally many for all ranks."""
        kept = slice(rank, len(self.row) // size * size, size)
        return Pairs(self.queries, self.row[kept], self.item[kept])

    def steps(self, size: int) -> int:
        """Batches of an epoch."""
        return len(self.row) // min(size, len(self.row))


def load(config: Config, zones: Zones, held: Catalogue, windows: Sequence[str]) -> Pairs:
    """The pairs of whole windows, at most ``train.retrieval_max_pairs`` of them, a seeded sample.

    Raises:
        ArtifactError: when the windows hold nothing to learn from.
    """
    learned = of_rows(config, held, pa.concat_tables(rows(config, zones, window) for window in windows))
    if not len(learned.row):
        raise ArtifactError(
            f"{zones.features}/rows: windows {list(windows)} hold no target; check [windows] and run etl"
        )
    if len(learned.row) > config.train.retrieval_max_pairs:
        generator = np.random.default_rng(config.train.seed)
        kept = np.sort(generator.choice(len(learned.row), config.train.retrieval_max_pairs, replace=False))
        return Pairs(learned.queries, learned.row[kept], learned.item[kept])
    return learned


def rows(config: Config, zones: Zones, window: str, where: pc.Expression | None = None) -> pa.Table:
    """What pairs are made of, of a window's rows."""
    names = [*QUERY_FIELDS, "target_item_codes", *query_columns(config.features)]
    return read(f"{zones.features}/rows/window={window}", names, where)


def of_rows(config: Config, held: Catalogue, table: pa.Table) -> Pairs:
    """A pair a row and item taken."""
    targets, lengths = flat(table, "target_item_codes")
    return Pairs(queries(table, held, config), np.repeat(np.arange(len(lengths)), lengths), targets.astype(np.int64))


def queries(table: pa.Table, held: Catalogue, config: Config) -> Queries:
    """The query tower's inputs of rows with ``QUERY_FIELDS`` and the query columns."""
    length = config.features.recent_items
    recent = padded(table, "recent_item_codes", length).astype(np.int32)
    ages = numbers(table, "as_of")[:, None] - padded(table, "recent_event_times", length)
    return Queries(held.user_codes(table), recent, weights(recent, ages, config))


def blank(config: Config) -> Queries:
    """One query, of a user of whom nothing is known."""
    codes = np.full((1, len(query_columns(config.features))), OUT_OF_VOCABULARY, np.int64)
    recent = np.zeros((1, config.features.recent_items), np.int32)
    return Queries(codes, recent, recent.astype(np.float32))


def weights(recent: np.ndarray, ages_ms: np.ndarray, config: Config) -> np.ndarray:
    """Weights of padded recent items by age, float32 of their shape; 0 where padded."""
    by_age = recent_weights(ages_ms, config.train.recent_half_life_hours)
    return np.where(recent == PAD, np.float32(0), by_age)
