"""What a baseline is asked: lists for requests, from what may be learned, with what is known of who asks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from contracts.artifacts import Zones, read_manifest
from contracts.config import Config
from contracts.evaluation import Kind
from contracts.features import FIRST_VALUE, MS_PER_MINUTE
from train.metrics import K, best, ndcg
from train.tables import Catalogue, first_interactions, flat, numbers, read

#: Requests whose scores over the whole catalogue are held at once.
CHUNK = 512

#: Requests of window C that settings are judged by, at most: enough to tell them apart, and soon done.
REHEARSED = 4_000

#: Places of requests -> float ``[requests, items]``, a score of every item for each of them.
Scores = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Demand:
    """Interactions of all users by closed bucket of time, regions together.

    Attributes:
        bucket: int64 ``[entries]``, rising.
        item: int64 ``[entries]``, places in the catalogue.
        count: float64 ``[entries]``.
        minutes: length of a bucket.
    """

    bucket: np.ndarray
    item: np.ndarray
    count: np.ndarray
    minutes: int

    def last_closed(self, as_of: np.ndarray) -> np.ndarray:
        """The first bucket that is still open at each instant (ms), int64: what lies before it counts."""
        return as_of // (self.minutes * MS_PER_MINUTE)


@dataclasses.dataclass(frozen=True)
class Task:
    """Requests, and what a baseline may know when it answers them.

    Attributes:
        interactions: float32 ``[users, items]``, 1 where a user interacted before models are fitted.
        histories: float32 ``[requests, items]``, 1 where the asking user had interacted by the instant of the request.
        users: int64 ``[requests]``, the asking user's row of ``interactions``; -1 for one who has none.
        as_of: int64 ``[requests]``, instants, ms.
        demand: what all users took, by bucket.
        exclude_seen: whether what is in the history may not be listed.
        dense_items: items at most that a matrix of items by items may have.
        seed: of what is random.
    """

    interactions: sparse.csr_matrix
    histories: sparse.csr_matrix
    users: np.ndarray
    as_of: np.ndarray
    demand: Demand
    exclude_seen: bool
    dense_items: int
    seed: int

    def lists(self, scores: Scores) -> np.ndarray:
        """The best 10 by a baseline's scores, item codes int64 ``[requests, 10]``; 0 where there are no more items."""
        found = []
        for rows in np.array_split(np.arange(len(self.as_of)), max(1, -(-len(self.as_of) // CHUNK))):
            excluded = self.histories[rows].toarray() > 0 if self.exclude_seen else np.zeros((1, 1), bool)
            places = best(scores(rows), excluded, min(K, self.histories.shape[1]))
            found.append(np.where(places >= 0, places + FIRST_VALUE, 0))
        codes = np.concatenate(found)
        return np.pad(codes, ((0, 0), (0, K - codes.shape[1])))


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """A task whose outcome is known, bool ``[requests, items]``: what was taken after each request."""

    task: Task
    relevant: sparse.csr_matrix

    def ndcg_at_10(self, scores: Scores) -> float:
        """Mean over the requests, as the evaluation counts it."""
        codes = self.task.lists(scores)
        rows = np.arange(len(codes))[:, None]
        hits = np.asarray(self.relevant[rows, np.maximum(codes - FIRST_VALUE, 0)].todense()) & (codes > 0)
        return float(ndcg(hits, np.diff(self.relevant.indptr)).mean())


def evaluation(config: Config, zones: Zones, held: Catalogue) -> tuple[np.ndarray, Task]:
    """Every request that the platform is judged by: their ids, sorted, and the task to answer them.

    Cold-start requests are none of them: what they exclude is more than what may be known.
    """
    names = ["request_id", "kind", "user_id", "as_of", "seen_item_ids"]
    table = read(f"{zones.features}/requests.parquet", names)
    table = table.filter(pc.equal(table["kind"], Kind.TEST)).sort_by("request_id")
    _, sizes = flat(table, "seen_item_ids")
    seen = pc.list_flatten(table["seen_item_ids"])
    items = pc.fill_null(pc.index_in(seen, value_set=pa.array(held.item_ids.tolist(), seen.type)), -1).to_numpy()
    task = _task(
        config,
        zones,
        held,
        until=int(read_manifest(zones.processed)["cut"]),
        histories=_matrix(np.repeat(np.arange(len(sizes)), sizes), items, len(sizes), held.size),
        users=held.users(np.asarray(table["user_id"].to_pylist(), str)),
        as_of=numbers(table, "as_of"),
    )
    return np.asarray(table["request_id"].to_pylist(), str), task


def on_window_c(config: Config, zones: Zones, held: Catalogue, moving: bool) -> Rehearsal:
    """The same a window earlier: fitted before window C, judged on it.

    Args:
        config: whose windows.
        zones: whose data.
        held: the catalogue.
        moving: whether requests lie at instants of their own, as a stream of sessions has them; or all at the window's
            start, where everything new up to its end is relevant.
    """
    manifest = read_manifest(zones.processed)
    start, end = int(manifest["ranker_end"]), int(manifest["cut"])
    if moving:
        names = ["user_id", "as_of", "seen_item_codes", "target_item_codes"]
        rows = read(f"{zones.features}/rows/window=C", names)
        rows = rows.take(_drawn(rows.num_rows, config.train.seed))
        users, as_of = held.users(np.asarray(rows["user_id"].to_pylist(), str)), numbers(rows, "as_of")
        histories, relevant = (_listed(rows, name, held.size) for name in names[2:])
    else:
        shape = (len(held.user_ids), held.size)
        before, later = (_matrix(*first_interactions(zones, held, until), *shape) for until in (start, end))
        relevant = later - before
        relevant.eliminate_zeros()
        users = np.flatnonzero((np.diff(before.indptr) > 0) & (np.diff(relevant.indptr) > 0))
        users = users[_drawn(len(users), config.train.seed)]
        histories, relevant, as_of = before[users], relevant[users], np.full(len(users), start)
    task = _task(config, zones, held, until=start, histories=histories, users=users, as_of=as_of)
    return Rehearsal(task, relevant.astype(bool))


def _drawn(number: int, seed: int) -> np.ndarray:
    """Which of so many requests are rehearsed, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(number)[:REHEARSED])


def _task(
    config: Config,
    zones: Zones,
    held: Catalogue,
    *,
    until: int,
    histories: sparse.csr_matrix,
    users: np.ndarray,
    as_of: np.ndarray,
) -> Task:
    known = _matrix(*first_interactions(zones, held, until), len(held.user_ids), held.size)
    active = np.flatnonzero(np.diff(known.indptr))  # users of the future are in the vocabulary too
    row = np.full(len(held.user_ids) + 1, -1)
    row[active] = np.arange(len(active))
    return Task(
        interactions=known[active],
        histories=histories,
        users=row[users],
        as_of=as_of,
        demand=_demand(config, zones),
        exclude_seen=config.serve.exclude_seen,
        dense_items=config.train.item_item_items,
        seed=config.train.seed,
    )


def _demand(config: Config, zones: Zones) -> Demand:
    table = read(f"{zones.features}/buckets.parquet", ["bucket", "item_code", "count"])
    bucket = numbers(table, "bucket").astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    items, counts = (numbers(table, name)[order] for name in ("item_code", "count"))
    return Demand(
        bucket[order], items.astype(np.int64) - FIRST_VALUE, counts.astype(np.float64), config.features.bucket_minutes
    )


def _listed(rows: pa.Table, column: str, catalogue: int) -> sparse.csr_matrix:
    """The item codes of a list column."""
    codes, sizes = flat(rows, column)
    return _matrix(np.repeat(np.arange(len(sizes)), sizes), codes.astype(np.int64) - FIRST_VALUE, len(sizes), catalogue)


def _matrix(rows: np.ndarray, items: np.ndarray, number: int, catalogue: int) -> sparse.csr_matrix:
    """1 where a row holds an item, float32 ``[number, catalogue]``; places below 0 are outside the catalogue."""
    known = items >= 0
    ones = np.ones(int(known.sum()), np.float32)
    matrix = sparse.csr_matrix((ones, (rows[known], items[known])), (number, catalogue))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix
