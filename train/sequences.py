"""What the attention tower learns from: stretches of users' interactions, and what was taken after each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import query_columns
from train.pairs import QUERY_FIELDS, Queries, queries
from train.tables import Catalogue, flat, numbers, read


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Pairs of (a token of a sequence, an item that was taken right after it and new to the user).

    Attributes:
        queries: the rows that serve as sequences: the newest of a stretch, whose recent items hold all the others'.
        sequence: int64 ``[pairs]`` into ``queries``, rising.
        token: int64 ``[pairs]`` into its recent items, newest first. One behind them all is a user without any.
        item: int64 ``[pairs]``, the code taken.
        context: int64 ``[pairs, context columns]``, codes of the request by which it was taken: a sequence has many.
    """

    queries: Queries
    sequence: np.ndarray
    token: np.ndarray
    item: np.ndarray
    context: np.ndarray

    @property
    def number(self) -> int:
        """Of the sequences."""
        return len(self.queries.user_codes)

    def steps(self, pairs: int) -> int:
        """Batches of an epoch."""
        return min(max(1, round(len(self.item) / pairs)), self.number)

    def share(self, rank: int, size: int) -> Sequences:
        """Every ``size``-th sequence from the ``rank``-th on."""
        kept = self.sequence % size == rank
        queries = self.queries.take(np.arange(rank, self.number, size))
        own = self.token[kept], self.item[kept], self.context[kept]
        return Sequences(queries, self.sequence[kept] // size, *own)


def load(config: Config, zones: Zones, held: Catalogue, windows: Sequence[str]) -> Sequences:
    """The pairs of whole windows by stretches of at most ``features.recent_items`` interactions.

    Raises:
        ArtifactError: when the windows hold nothing to learn from.
    """
    columns = ["row_id", "user_id", "interaction_count", "target_item_codes", *config.features.context]
    parts = [read(f"{zones.features}/rows/window={window}", columns) for window in windows]
    window = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
    table = pa.concat_tables(parts)
    if not table.num_rows:
        raise ArtifactError(
            f"{zones.features}/rows: windows {list(windows)} hold no target; check [windows] and run etl"
        )
    user = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    anchor, token = stretches(user, numbers(table, "interaction_count"), config.features.recent_items)
    anchors, sequence = np.unique(anchor, return_inverse=True)
    taken, sizes = flat(table, "target_item_codes")
    order = np.argsort(sequence, kind="stable")
    row, ends = np.repeat(order, sizes[order]), np.cumsum(sizes[order])
    pair = np.repeat((np.cumsum(sizes) - sizes)[order] - ends + sizes[order], sizes[order]) + np.arange(len(row))
    ids, names = numbers(table, "row_id"), [*QUERY_FIELDS, *query_columns(config.features)]
    known = [
        _rows(f"{zones.features}/rows/window={name}", ids[anchors[window[anchors] == number]], names, held, config)
        for number, name in enumerate(windows)
    ]
    fields = [field.name for field in dataclasses.fields(Queries)]
    whole = Queries(*(np.concatenate([getattr(part, name) for part in known]) for name in fields))
    context = held.codes(table, config.features.context)[row]
    return Sequences(whole, sequence[row], token[row], taken[pair].astype(np.int64), context)


def stretches(user: np.ndarray, count: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """By which row's recent items each row's own can be told, and from which of them on.

    A row that knows ``count`` interactions is a prefix of a later row of the user that knows ``count + token``: its
    recent items are the later row's from ``token`` on. A user's rows are so covered from the newest back, ``length``
    interactions at a time.

    Args:
        user: int64 ``[rows]``.
        count: int64 ``[rows]``, interactions before the row.
        length: of the recent items.

    Returns:
        The covering row of each row and the token there, int64 ``[rows]``.

    Example:
        >>> stretches(np.array([5, 5, 5, 5]), np.array([0, 1, 2, 4]), 3)
        (array([1, 1, 3, 3]), array([1, 0, 2, 0]))
    """
    order = np.lexsort((-count, user))
    ordered_user, ordered_count = user[order], count[order]
    first = np.r_[True, np.diff(ordered_user) != 0]
    newest = ordered_count[first][np.cumsum(first) - 1]
    stretch = (newest - ordered_count) // length
    first |= np.r_[True, np.diff(stretch) != 0]
    cover = np.flatnonzero(first)[np.cumsum(first) - 1]
    anchor, token = np.empty(len(user), np.int64), np.empty(len(user), np.int64)
    anchor[order] = order[cover]
    token[order] = ordered_count[cover] - ordered_count
    return anchor, token


def _rows(url: str, ids: np.ndarray, names: list[str], held: Catalogue, config: Config) -> Queries:
    """The query tower's inputs of some rows by id, in the order of the ids: lists of all rows would not fit."""
    table = read(url, ["row_id", *names], ds.field("row_id").isin(pa.array(ids)))
    found = numbers(table, "row_id")
    order = np.argsort(found, kind="stable")
    return queries(table.take(pa.array(order[np.searchsorted(found[order], ids)])), held, config)
