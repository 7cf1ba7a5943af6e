"""How good the two-tower model is by itself, on rows that it has not learned from: what stops its training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.features import FIRST_VALUE
from train.metrics import K, ndcg, recall
from train.pairs import QUERY_FIELDS, Queries, queries
from train.tables import Catalogue, flat, read

#: Places of the longer list, as deep as retrieval's candidates go.
DEEP = 100
#: Rows scored against the whole catalogue in one go.
CHUNK = 512


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Rows of a later window: what was known, what was seen and so is not recommended, and what was taken then.

    Attributes:
        queries: of every row.
        seen: int32 item codes one row after the other; ``seen_sizes`` int64 ``[rows]`` of each.
        taken: the same of the items that were new to the user and taken, ``taken_sizes`` at least 1.
    """

    queries: Queries
    seen: np.ndarray
    seen_sizes: np.ndarray
    taken: np.ndarray
    taken_sizes: np.ndarray


def load(
    config: Config,
    zones: Zones,
    held: Catalogue,
    windows: Sequence[str] = ("C",),
    where: pc.Expression | None = None,
) -> HeldOut | None:
    """All rows of some windows, or a part of them; None where there are none."""
    names = [*QUERY_FIELDS, "seen_item_codes", "target_item_codes", *held.vocabularies]
    table = pa.concat_tables(read(f"{zones.features}/rows/window={window}", names, where) for window in windows)
    if not table.num_rows:
        return None
    seen, seen_sizes = flat(table, "seen_item_codes")
    if not config.serve.exclude_seen:
        seen, seen_sizes = seen[:0], np.zeros_like(seen_sizes)
    return HeldOut(queries(table, held, config), seen, seen_sizes, *flat(table, "target_item_codes"))


def judge(embeddings: np.ndarray, items: np.ndarray, rows: HeldOut) -> dict[str, float]:
    """Mean over the rows of NDCG@10 and recall@100, full ranking without what was seen.

    Args:
        embeddings: float32 ``[rows, dim]`` of ``rows.queries``.
        items: float32 ``[catalogue, dim]``, row i = code i + 3.
        rows: what they are judged by.
    """
    deep = min(DEEP, len(items))
    seen_row = np.repeat(np.arange(len(rows.seen_sizes)), rows.seen_sizes)
    taken_row = np.repeat(np.arange(len(rows.taken_sizes)), rows.taken_sizes)
    hits = np.zeros((len(embeddings), DEEP), bool)
    for start in range(0, len(embeddings), CHUNK):
        scores = embeddings[start : start + CHUNK] @ items.T
        size = len(scores)
        blocked = _mask(rows.seen, seen_row, start, scores.shape)
        taken = _mask(rows.taken, taken_row, start, scores.shape)
        scores[blocked] = -np.inf
        best = np.argpartition(-scores, deep - 1, axis=1)[:, :deep]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        hits[start : start + size, :deep] = np.take_along_axis(taken, np.take_along_axis(best, order, axis=1), axis=1)
    figures = {f"ndcg_at_{K}": ndcg(hits, rows.taken_sizes), f"recall_at_{DEEP}": recall(hits, rows.taken_sizes, DEEP)}
    return {name: round(float(values.mean()), 5) for name, values in figures.items()}


def _mask(codes: np.ndarray, row: np.ndarray, start: int, shape: tuple[int, ...]) -> np.ndarray:
    """Which catalogue items the rows from ``start`` on name, bool of ``shape``; reserved codes name none."""
    first, last = np.searchsorted(row, (start, start + shape[0]))
    mask = np.zeros((shape[0], shape[1] + FIRST_VALUE), bool)
    mask[row[first:last] - start, codes[first:last]] = True
    return mask[:, FIRST_VALUE:]
