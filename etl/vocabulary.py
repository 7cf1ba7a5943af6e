"""Vocabularies and statistics of the interactions before the cut, and the NVTabular workflow that applies them.

Counting is done where the rows are (``etl/grouping.py``, ``etl/features.py``); from the counts of items and users
follow those of their attributes, so no row is read for them. A later run extends the vocabulary: what has a code keeps
it, so that embeddings stay valid, and what is new comes behind. ``encodings.json`` says in JSON what the saved workflow
does; tests/etl transforms raw values through both and compares.
"""

# pyright: reportMissingImports=false
# (Merlin lives in the train environment, pyright in the other)

from __future__ import annotations

from typing import Any

import fsspec
import numpy as np
import nvtabular as nvt
import pandas as pd
from merlin.core.dispatch import get_lib
from merlin.io.worker import clean_worker_cache
from merlin.schema import ColumnSchema, Schema
from nvtabular import ops

from contracts import artifacts
from contracts.config import Config
from contracts.features import NULL
from etl import store
from etl.encoding import Encodings


class NullSafeCategorify(ops.Categorify):
    """Categorify to which "" is a null too, as it is in the online store, and which bears a column of only nulls.

    The original raises IndexError there, and on partitions whose index does not start at 0.
    """

    def transform(self, col_selector: Any, df: Any) -> Any:
        """Codes of every column: 1 null, 2 unknown, then the vocabulary's."""
        names = col_selector.names
        frame = df[names].reset_index(drop=True).fillna("")
        codes = super().transform(col_selector, frame)
        for name in names:
            codes[name] = codes[name].mask(frame[name] == "", NULL)
        codes.index = df.index
        return codes


def columns(config: Config) -> tuple[list[str], list[str]]:
    """Categorical and numeric columns of the workflow, in its order."""
    features = config.features
    return ["user_id", "item_id", *features.user_categorical, *features.item_categorical], list(features.item_numeric)


def fingerprint(config: Config) -> str:
    """Of what a vocabulary means: with another one, codes are given anew."""
    features, source = config.features, config.source
    tables = [(table.url, table.columns) for table in (source.items, source.users)]
    kept = (features.user_categorical, features.item_categorical, features.item_numeric, features.min_item_count)
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


def encodings(
    config: Config, before: Encodings, item_counts: pd.Series, user_counts: pd.Series, processed: str
) -> Encodings:
    """Every column's vocabulary or statistics.

    Args:
        config: the data set.
        before: the encodings to extend; empty for new ones.
        item_counts: item id -> interactions before the cut.
        user_counts: user id -> interactions before the cut.
        processed: the zone with ``items.parquet`` and ``users.parquet``.
    """
    features = config.features
    least = features.min_item_count
    out: Encodings = {
        "user_id": extended(before.get("user_id", []), user_counts, 1),
        "item_id": extended(before.get("item_id", []), item_counts, least),
    }
    for table, key, names, counts, threshold in (
        ("users", "user_id", features.user_categorical, user_counts, 1),
        ("items", "item_id", features.item_categorical, item_counts, least),
    ):
        known = store.read(f"{processed}/{table}.parquet").to_pandas().set_index(key).reindex(counts.index)
        for name in names:
            sums = counts.groupby(known[name].fillna("").to_numpy(object)).sum()
            out[name] = extended(before.get(name, []), sums, threshold)
    known = store.read(f"{processed}/items.parquet").to_pandas().set_index("item_id").reindex(item_counts.index)
    for name in features.item_numeric:
        out[name] = _statistics(known[name].to_numpy(np.float64), item_counts.to_numpy(np.float64))
    return out


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


def save(config: Config, encoded: Encodings, folder: str) -> None:
    """Save the NVTabular workflow that gives these codes."""
    categorical, numeric = columns(config)
    path = folder if "://" in folder else fsspec.core.url_to_fs(folder)[1]
    lib = get_lib()
    vocabularies = {name: lib.Series(encoded[name], dtype="object") for name in categorical}
    encode = NullSafeCategorify(vocabs=vocabularies, out_path=f"{path}/fit", dtype="int64")
    normalize = ops.Normalize()
    graph = categorical >> encode
    if numeric:
        graph = graph + (numeric >> normalize >> ops.FillMissing(0.0))
    workflow = nvt.Workflow(graph)
    kinds = [ColumnSchema(name, dtype="str") for name in categorical]
    kinds += [ColumnSchema(name, dtype="float64") for name in numeric]
    workflow.fit_schema(Schema(kinds))
    for name in numeric:
        normalize.means[name], normalize.stds[name] = encoded[name]["mean"], encoded[name]["std"]
    clean_worker_cache()
    workflow.save(path)
    store.clear(f"{folder}/fit")
