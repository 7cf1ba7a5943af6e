"""What else the ranker may learn of a hit, so that its layers know more of it than that it was taken.

``train.second_task`` names it: ``value`` is what the events of that very user, item and instant were worth (money of a
purchase, stars of a rating), ``dwell`` the milliseconds that the user was reported to have stayed with the item within
a day of it. Both are long-tailed, so that the target is log(1 + x), standardised over the window's hits.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.events import INTERACTIONS, EventType
from contracts.features import FIRST_VALUE, MS_PER_DAY
from train.ranking_model import LABEL
from train.tables import numbers, read

#: Setting -> types of event whose ``value`` counts, and how long after the hit, ms.
TASKS = {"value": (INTERACTIONS, 0), "dwell": (frozenset({EventType.DWELL}), MS_PER_DAY)}


def columns(config: Config) -> list[str]:
    """Columns of the candidates that ``targets`` needs besides the label."""
    return ["user_id", "as_of", "item_code"] if config.train.second_task else []


def targets(config: Config, zones: Zones, candidates: pa.Table) -> np.ndarray:
    """The target of every candidate, float32 ``[n]``; NaN for one that was not taken, or of which nothing is known."""
    found = np.full(candidates.num_rows, np.nan, np.float32)
    if not config.train.second_task:
        return found
    hits = np.flatnonzero(numbers(candidates, LABEL) > 0)
    worth = _worth(zones, candidates.take(hits), *TASKS[config.train.second_task])
    logged = np.log1p(np.maximum(worth, 0.0))
    known = ~np.isnan(logged)
    if known.any():
        deviation = logged[known].std()
        found[hits] = (logged - logged[known].mean()) / (deviation if deviation > 1e-9 else 1.0)
    return found


def _worth(zones: Zones, hits: pa.Table, kinds: frozenset[EventType], span_ms: int) -> np.ndarray:
    """The sum of the values of the events of each hit's user and item from its instant on, float64; NaN for none."""
    instants = numbers(hits, "as_of")
    where = (
        (ds.field("event_time") >= int(instants.min()))
        & (ds.field("event_time") <= int(instants.max()) + span_ms)
        & ds.field("event_type").isin(sorted(kind.value for kind in kinds))
        & ds.field("value").is_valid()
    )
    events = read(f"{zones.processed}/events", ["user_id", "item_id", "event_time", "value"], where)
    ids = read(f"{zones.features}/items.parquet", ["item_id"])["item_id"]
    asked = pa.table(
        {
            "user_id": hits["user_id"],
            "item_id": ids.take(pa.array(numbers(hits, "item_code") - FIRST_VALUE)),
            "as_of": hits["as_of"],
            "hit": np.arange(hits.num_rows),
        }
    )
    met = asked.join(events, ["user_id", "item_id"], join_type="inner")
    after = pc.subtract(met["event_time"], met["as_of"])
    met = met.filter(pc.and_(pc.greater_equal(after, 0), pc.less_equal(after, span_ms)))
    worth = np.full(hits.num_rows, np.nan)
    total = met.group_by("hit").aggregate([("value", "sum")])
    worth[numbers(total, "hit")] = numbers(total, "value_sum")
    return worth
