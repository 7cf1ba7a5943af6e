"""What needs no model, for requests at instants of their own: the newest hour, the day before, what followed the item.

On news these are the baselines to beat: who reads, reads what everybody has been reading for an hour.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from scipy import sparse

from contracts.artifacts import Zones, read_manifest
from contracts.config import Config
from contracts.evaluation import Kind
from contracts.events import INTERACTIONS
from contracts.features import FIRST_VALUE, MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from train.baselines.task import Scores, Task
from train.tables import Catalogue, numbers, read

#: Days before the cut of which ``covisits`` are counted.
COVISIT_DAYS = 3


def lists(config: Config, zones: Zones, held: Catalogue, task: Task) -> dict[str, np.ndarray]:
    """Lists of ``popular_last_hour``, ``popular_day_before`` and, where they are counted, ``covisits``.

    Args:
        config: the data set.
        zones: its data.
        held: the catalogue.
        task: the evaluation's requests.

    Returns:
        Name -> item codes int64 ``[requests, 10]``.
    """
    log = _Log(zones, held, int(task.as_of.min()) // MS_PER_DAY * MS_PER_DAY - MS_PER_DAY, int(task.as_of.max()))
    midnight = task.as_of // MS_PER_DAY * MS_PER_DAY
    found = {
        "popular_last_hour": task.lists(log.popular(task.as_of - MS_PER_HOUR, task.as_of)),
        "popular_day_before": task.lists(log.popular(midnight - MS_PER_DAY, midnight)),
    }
    if config.features.covisit_half_lives_hours:
        found["covisits"] = task.lists(_covisits(config, zones, held))
    return found


class _Log:
    """Catalogue items interacted with, in the order of time.

    Attributes:
        time: int64 ``[n]``, ms, rising.
        item: int64 ``[n]``, places in the catalogue.
    """

    def __init__(self, zones: Zones, held: Catalogue, start: int, end: int):
        kinds = pa.array(sorted(kind.value for kind in INTERACTIONS))
        where = (ds.field("event_time") >= start) & (ds.field("event_time") < end) & ds.field("event_type").isin(kinds)
        table = read(f"{zones.processed}/events", ["event_time", "item_id"], where)
        place = pc.index_in(table["item_id"], value_set=pa.array(held.item_ids.tolist()))
        known = pc.is_valid(place)
        time = table["event_time"].filter(known).to_numpy()
        order = np.argsort(time, kind="stable")
        self.time, self.item = time[order], place.filter(known).to_numpy().astype(np.int64)[order]
        self._items = held.size

    def popular(self, start: np.ndarray, end: np.ndarray) -> Scores:
        """How often items were taken in ``[start, end)`` (ms) of each request; requests often share theirs."""
        spans, which = np.unique(np.stack([start, end]), axis=1, return_inverse=True)
        low, high = np.searchsorted(self.time, spans)

        def scores(rows: np.ndarray) -> np.ndarray:
            counts = [np.bincount(self.item[low[i] : high[i]], minlength=self._items) for i in which.ravel()[rows]]
            return np.stack(counts, dtype=np.float32)

        return scores


def _covisits(config: Config, zones: Zones, held: Catalogue) -> Callable[[np.ndarray], np.ndarray]:
    """What was taken right after or before the newest item of each request, in the days before the cut."""
    table = read(f"{zones.features}/covisits.parquet", ["bucket", "item_code", "next_code", "count"])
    length = config.features.bucket_minutes * MS_PER_MINUTE
    cut, bucket = int(read_manifest(zones.processed)["cut"]), numbers(table, "bucket").astype(np.int64)
    known = (bucket < cut // length) & (bucket >= (cut - COVISIT_DAYS * MS_PER_DAY) // length)
    one, other = (numbers(table, name)[known].astype(np.int64) - FIRST_VALUE for name in ("item_code", "next_code"))
    count = numbers(table, "count")[known].astype(np.float32)
    links = sparse.csr_matrix((count, (one, other)), (held.size, held.size))
    links = (links + links.T).tocsr()
    newest = _newest(zones, held)
    return lambda rows: (newest[rows] @ links).toarray()


def _newest(zones: Zones, held: Catalogue) -> sparse.csr_matrix:
    """1 at the newest item of each of the evaluation's requests, in the order of their ids."""
    table = read(f"{zones.features}/requests.parquet", ["request_id", "kind", "recent_item_ids"])
    table = table.filter(pc.equal(table["kind"], Kind.TEST)).sort_by("request_id")
    first = pa.array([ids[0] if ids else None for ids in table["recent_item_ids"].to_pylist()], pa.string())
    place = pc.fill_null(pc.index_in(first, value_set=pa.array(held.item_ids.tolist())), -1).to_numpy()
    rows = np.flatnonzero(place >= 0)
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, place[rows])), (len(place), held.size))
