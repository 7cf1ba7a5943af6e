"""``processed`` -> ``features``: the vocabulary, and all that training, evaluation and the batch view read.

Nothing from the cut on reaches the encodings, the rows of windows A, B and C, or the requests: vocabularies count
interactions before the cut, and a row sees what is strictly earlier than itself.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from contracts.features import FIRST_VALUE, user_profile
from etl import encoding, grouping, rows, store, vocabulary
from etl.history import History
from etl.selection import Chosen, Survey, select

WINDOWS = ("A", "B", "C")
#: Items of a recommendation in the offline evaluation.
K = 100


def run(config: Config, zone: artifacts.Zones, client: Any, log: Callable[[str], None]) -> dict[str, Any]:
    """Fill the features zone; returns counts for the manifest."""
    facts = artifacts.read_manifest(zone.processed)
    instants = rows.Instants(facts["retrieval_end"], facts["ranker_end"], facts["cut"], facts["log_end"])
    store.clear(zone.features)
    scratch = f"{zone.features}/by_user"
    log("interactions by user")
    groups = grouping.run(zone.processed, config.features.category, scratch, facts["events"], client)
    log("vocabulary and statistics (NVTabular)")
    items, users = f"{zone.processed}/items.parquet", f"{zone.processed}/users.parquet"
    encodings = vocabulary.fit(config, groups, items, users, instants.cut, f"{zone.features}/workflow", client)
    artifacts.write_json(f"{zone.features}/encodings.json", encodings)
    log("which rows")
    surveys = client.gather(client.map(survey, groups, zone=zone, cut=instants.cut, pure=False))
    everyone = np.sort(np.concatenate([part.experienced for part in surveys]))
    chosen = select(surveys, everyone, instants, config)
    log("point-in-time rows")
    # What is large goes by file or as one list an item: client.map turns a large keyword into a task, on which the
    # scheduler of this Dask stumbles (TypeError in update_graph).
    known = {"config": config, "zone": zone, "instants": instants}
    parts = client.gather(client.map(build, groups, range(len(groups)), chosen, **known, pure=False))
    counts = {name: int(sum(part["rows"][name] for part in parts)) for name in WINDOWS}
    log("requests, truth, profiles, daily counts")
    _write_whole(parts, config, zone, instants)
    _write_statics(config, zone, encodings, everyone)
    store.clear(scratch)
    return {"rows": counts, "items": len(encodings["item_id"]), "users": len(encodings["user_id"])}


def survey(group: str, zone: artifacts.Zones, cut: int) -> Survey:
    """Look through a group, so that rows can be drawn over all groups before any is computed."""
    log = rows.read(group)
    found = rows.targets(log, rows.catalogue_codes(log, catalogue_of(zone)))
    return Survey(experienced(log, cut), log.users[found.user], found.as_of)


def catalogue_of(zone: artifacts.Zones) -> list[str]:
    """Item ids in the order of their codes."""
    return artifacts.read_json(f"{zone.features}/encodings.json")["item_id"]


def experienced(log: History, cut: int) -> np.ndarray:
    """Ids of the users with an interaction before the cut."""
    return log.users[np.unique(log.user[log.time < cut])]


def build(
    group: str,
    number: int,
    chosen: list[Chosen],
    *,
    config: Config,
    zone: artifacts.Zones,
    instants: rows.Instants,
) -> dict[str, Any]:
    """Write a group's rows; returns their counts and the group's part of the files that are written whole."""
    log, catalogue = rows.read(group), catalogue_of(zone)
    item_codes = rows.catalogue_codes(log, catalogue)
    found = rows.targets(log, item_codes)
    users = store.read(f"{zone.processed}/users.parquet").to_pandas().set_index("user_id")
    counts = {}
    for window, part in zip(WINDOWS, chosen):
        table = rows.training_rows(log, found, part.entries, config, catalogue, users, seen=window != "A")
        table = table.add_column(0, "row_id", pa.array(part.row_ids, pa.int64()))
        store.write(table, f"{zone.features}/rows/window={window}/part-{number:05d}.parquet")
        counts[window] = table.num_rows
    return {
        "rows": counts,
        "requests": rows.snapshot(log, experienced(log, instants.cut), instants.cut, config, users),
        "profiles": rows.snapshot(log, log.users, instants.log_end + 1, config, users),
        "truth": rows.truth(log, found, item_codes, catalogue, instants.cut),
        "buckets": rows.buckets(log, item_codes),
    }


def _write_whole(parts: list[dict[str, Any]], config: Config, zone: artifacts.Zones, instants: rows.Instants) -> None:
    def whole(name: str) -> pa.Table:
        return pa.concat_tables([part[name] for part in parts]).sort_by("user_id")

    requests = whole("requests")
    n = requests.num_rows
    requests = requests.add_column(1, "as_of", pa.array(np.full(n, instants.cut)))
    requests = requests.add_column(2, "k", pa.array(np.full(n, K, np.int64)))
    requests = requests.add_column(3, "region", pa.array([""] * n, pa.string()))
    store.write(requests, f"{zone.features}/requests.parquet")
    store.write(whole("truth"), f"{zone.features}/truth.parquet")
    names = [feature.name for feature in user_profile(config.features).features]
    profiles = whole("profiles").select(["user_id", *names])
    # Attributes of users without interactions are known all the same.
    table = store.read(f"{zone.processed}/users.parquet")
    silent = table.filter(pc.invert(pc.is_in(table["user_id"], value_set=profiles["user_id"].combine_chunks())))
    columns = {name: silent[name] for name in ("user_id", *config.features.user_categorical)}
    columns["home_region"] = pa.array([""] * silent.num_rows, pa.string())
    columns["seen_item_ids"] = pa.array([[]] * silent.num_rows, pa.list_(pa.string()))
    profiles = pa.concat_tables([profiles, pa.table(columns).select(profiles.column_names)])
    stamp = pa.array(np.full(profiles.num_rows, instants.log_end), pa.timestamp("ms", tz="UTC"))
    profiles = profiles.add_column(1, "event_timestamp", stamp).add_column(2, "created", stamp)
    store.write(profiles, f"{zone.features}/user_profile.parquet")
    counted = pd.concat([part["buckets"] for part in parts])
    counted = counted.groupby(["day", "region", "item_code"], sort=True)["count"].sum().reset_index()
    counted = counted.astype({"day": np.int32, "item_code": np.int32, "count": np.int32})
    store.write(pa.Table.from_pandas(counted, preserve_index=False), f"{zone.features}/buckets.parquet")


def _write_statics(config: Config, zone: artifacts.Zones, encodings: encoding.Encodings, everyone: np.ndarray) -> None:
    """``items.parquet`` in code order and ``users.parquet``, raw columns and codes."""
    features, catalogue = config.features, encodings["item_id"]
    known = store.read(f"{zone.processed}/items.parquet").to_pandas().set_index("item_id").reindex(catalogue)
    items = pd.DataFrame({"item_id": catalogue, "item_code": np.arange(len(catalogue)) + FIRST_VALUE})
    for name in features.item_categorical:
        items[name] = known[name].fillna("").to_numpy(object)
        items[f"{name}_code"] = encoding.codes(items[name], encodings[name])
    for name in features.item_numeric:
        items[name] = known[name].to_numpy(np.float64)
    store.write(pa.Table.from_pandas(items, preserve_index=False), f"{zone.features}/items.parquet")
    table = store.read(f"{zone.processed}/users.parquet").to_pandas().set_index("user_id")
    table = table.reindex(np.union1d(everyone, table.index.to_numpy(object)))
    users = pd.DataFrame({"user_id": table.index, "user_id_code": encoding.codes(table.index, encodings["user_id"])})
    for name in features.user_categorical:
        users[name] = table[name].fillna("").to_numpy(object)
        users[f"{name}_code"] = encoding.codes(users[name], encodings[name])
    store.write(pa.Table.from_pandas(users, preserve_index=False), f"{zone.features}/users.parquet")
