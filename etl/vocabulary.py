"""Vocabularies and statistics of the interactions before the cut.

Counting is done where the rows are (``etl/grouping.py``, ``etl/groups.py``); from the counts of items and users
follow those of their attributes, so no row is read for them. A later run extends the vocabulary: what has a code keeps
it, so that embeddings stay valid, and what is new comes behind. ``etl/workflow.py`` makes NVTabular's form of it.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from contracts.request_context import FIXED
from etl import timeline
from etl.encoding import Encodings


class Counted(NamedTuple):
    """Interactions before the cut by item id, by user id and by region."""

    items: pd.Series
    users: pd.Series
    regions: pd.Series


def columns(config: Config) -> tuple[list[str], list[str]]:
    """Categorical and numeric columns of the workflow, in its order."""
    features = config.features
    categorical = ["user_id", "item_id", *features.user_categorical, *features.item_categorical, *features.context]
    return categorical, list(features.item_numeric)


def fingerprint(config: Config) -> str:
    """Of what a vocabulary means: with another one, codes are given anew."""
    features, source = config.features, config.source
    tables = [(table.url, table.columns) for table in (source.items, source.users)]
    kept = (
        features.user_categorical,
        features.item_categorical,
        features.item_numeric,
        features.min_item_count,
        features.live_items,
    )
    return artifacts.fingerprint(config.name, source.events, *tables, kept)


def extended(known: list[str], counts: pd.Series, least: int) -> list[str]:
    """A vocabulary by code: ``known`` as it was, then new values by falling count, of equals by value.

    Args:
        known: the vocabulary so far.
        counts: value -> interactions before the cut; "" is no value.
        least: interactions that a new value needs.

    Example:
        >>> extended(["b"], pd.Series({"a": 2, "b": 0, "c": 5, "d": 1}), 2)
        ['b', 'c', 'a']
    """
    new = counts[(counts >= least) & (counts.index != "")].drop(known, errors="ignore")
    frame = pd.DataFrame({"value": new.index.to_numpy(object), "n": new.to_numpy()})
    return [*known, *frame.sort_values(["n", "value"], ascending=[False, True])["value"]]


def catalogue(config: Config, before: Encodings, item_counts: pd.Series) -> list[str]:
    """Item ids by code: the vocabulary, then, where the catalogue is live, every other item of the log, sorted.

    How often those are met after the cut decides nothing.
    """
    known = extended(before.get("item_id", []), item_counts, config.features.min_item_count)
    if not config.features.live_items:
        return known
    return [*known, *sorted(item_counts.index.difference([*known, ""]))]


def encodings(config: Config, before: Encodings, counted: Counted, processed: str, cut: int) -> Encodings:
    """Every column's vocabulary or statistics.

    Args:
        config: the data set.
        before: the encodings to extend; empty for new ones.
        counted: interactions before the cut.
        processed: the zone with the attributes of items and users.
        cut: ms; attributes count as they were before it.
    """
    features, (item_counts, user_counts, region_counts) = config.features, counted
    least = features.min_item_count
    out: Encodings = {
        "user_id": extended(before.get("user_id", []), user_counts, 1),
        "item_id": catalogue(config, before, item_counts),
    }
    for table, names, counts, threshold in (
        ("users", features.user_categorical, user_counts, 1),
        ("items", features.item_categorical, item_counts, least),
    ):
        known = timeline.read(processed, table, names).before(_ids(counts), cut)
        for name in names:
            sums = counts.groupby(pc.fill_null(known[name], "").to_pandas().to_numpy(object)).sum()
            out[name] = extended(before.get(name, []), sums, threshold)
    known = timeline.read(processed, "items", features.item_numeric).before(_ids(item_counts), cut)
    for name in features.item_numeric:
        values = known[name].to_numpy(zero_copy_only=False).astype(np.float64)
        out[name] = _statistics(values, item_counts.to_numpy(np.float64))
    for name in features.context:
        # The rare ones are out of vocabulary together, so that what a region never seen has was learned.
        out[name] = list(FIXED[name]) if name in FIXED else extended(before.get(name, []), region_counts, least)
    return out


def _ids(counts: pd.Series) -> pa.Array:
    return pa.array(counts.index.to_numpy(object), pa.string())


def _statistics(values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Mean and sample standard deviation of values that occur ``weights`` times each; NaN is left out."""
    there = ~np.isnan(values)
    values, weights = values[there], weights[there]
    total = weights.sum()
    if not total:
        return {"mean": 0.0, "std": 1.0}
    mean = float((values * weights).sum() / total)
    variance = float((weights * (values - mean) ** 2).sum() / max(total - 1, 1))
    return {"mean": mean, "std": variance**0.5 or 1.0}
