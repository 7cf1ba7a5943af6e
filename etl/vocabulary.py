"""The NVTabular workflow: vocabularies and statistics of the interactions before the cut, and their tables for serving.

``encodings.json`` says in JSON what the saved workflow does; tests/etl transforms raw values through both and compares.
"""

# pyright: reportMissingImports=false
# (Merlin lives in the train environment, pyright in the other)

from __future__ import annotations

from typing import Any

import dask.dataframe as dd
import fsspec
import nvtabular as nvt
import pandas as pd
from merlin.core.dispatch import get_lib
from merlin.core.utils import set_dask_client
from merlin.io.worker import clean_worker_cache
from nvtabular import ops

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


def fit(config: Config, parts: list[str], items: str, users: str, cut: int, folder: str, client: Any) -> Encodings:
    """Fit the workflow on the interactions before ``cut`` of some files, save it to ``folder``, return its encodings.

    A value of an item column with fewer than ``min_item_count`` interactions belongs to no item of the catalogue, so
    one threshold serves them all.
    """
    categorical, numeric = columns(config)
    threshold = dict.fromkeys(categorical, 1)
    threshold.update(dict.fromkeys(("item_id", *config.features.item_categorical), config.features.min_item_count))
    path = folder if "://" in folder else fsspec.core.url_to_fs(folder)[1]
    encode = NullSafeCategorify(freq_threshold=threshold, out_path=f"{path}/fit", dtype="int64")
    normalize = ops.Normalize()
    graph = categorical >> encode
    if numeric:
        graph = graph + (numeric >> normalize >> ops.FillMissing(0.0))
    workflow = nvt.Workflow(graph)
    # Threads of this process would share Merlin's caches with it, so there the fit is serial.
    set_dask_client(None if str(client.scheduler.address).startswith("inproc") else client)
    meta = load(parts[0], items, users, cut, categorical, numeric).head(0)
    shared = {"items": items, "users": users, "cut": cut, "names": categorical, "numeric": numeric}
    frame = dd.from_map(load, parts, **shared, meta=meta)  # pyright: ignore[reportPrivateImportUsage]
    workflow.fit(nvt.Dataset(frame))
    tables = {name: _in_order(encode.categories[name], name) for name in categorical}
    clean_worker_cache()
    workflow.save(path)
    store.clear(f"{folder}/fit")
    statistics = {name: {"mean": float(normalize.means[name]), "std": float(normalize.stds[name])} for name in numeric}
    return {**tables, **statistics}


def load(part: str, items: str, users: str, cut: int, names: list[str], numeric: list[str]) -> Any:
    """Interactions of one file before the cut, with the columns of their item and user; a missing value is null."""
    lib = get_lib()
    rows = lib.read_parquet(part, columns=["user_id", "item_id", "event_time"])
    rows = rows[rows["event_time"] < cut]
    frame = rows.merge(lib.read_parquet(items), on="item_id", how="left").merge(
        lib.read_parquet(users), on="user_id", how="left"
    )
    frame = frame[[*names, *numeric]].reset_index(drop=True)
    for name in names:
        frame[name] = frame[name].mask(frame[name] == "", None).astype("object")
    return frame


def _in_order(path: str, name: str) -> list[str]:
    """Sort a fitted vocabulary by falling count, then by value, on disk too.

    Categorify's order among equals is the sort's whim, another on a GPU; ours is the same wherever it was fitted.
    """
    table = pd.read_parquet(path)
    labels = table.index
    table = table.dropna(subset=[name]).sort_values([f"{name}_size", name], ascending=[False, True])
    table.set_index(labels[: len(table)]).to_parquet(path)
    return table[name].tolist()
