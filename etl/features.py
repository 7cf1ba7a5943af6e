"""``processed`` -> ``features``: the vocabulary, and all that training, evaluation and the batch view read.

Nothing from the cut on reaches the encodings, the rows of windows A, B and C, or the requests: vocabularies count
interactions before the cut, and a row sees what is strictly earlier than itself.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts import artifacts
from contracts.config import Config
from contracts.features import FIRST_VALUE
from etl import context, counted, covisits, encoding, first_takes, grouping, groups, rows, store, vocabulary
from etl.cluster import Session
from etl.selection import select


def run(
    config: Config, zone: artifacts.Zones, files: Mapping[str, int], session: Session, log: Callable[[str], None]
) -> dict[str, Any]:
    """Fill the features zone; returns counts for the manifest.

    Args:
        config: the data set.
        zone: its zones.
        files: files below ``processed/events`` -> rows.
        session: where tasks run.
        log: for a line about what surprises.
    """
    facts = artifacts.read_manifest(zone.processed)
    instants = rows.Instants(*(facts[name] for name in ("retrieval_end", "ranker_end", "cut", "log_end", "test_end")))
    before = known_vocabulary(config, zone, log)
    for name in ("rows", "by_user", "workflow"):
        store.clear(f"{zone.features}/{name}")
    scratch = f"{zone.features}/by_user"
    place = grouping.Place(
        zone.processed, config.features.category, scratch, instants.cut, config.features.bucket_minutes
    )
    shuffled = grouping.run(place, files, session)
    item_counts = _series(shuffled.items, "item_id")
    catalogue = vocabulary.catalogue(config, before, item_counts)
    store.write(pa.table({"item_id": pa.array(catalogue, pa.string())}), groups.catalogue_file(zone))
    known = {"config": config, "zone": zone, "instants": instants}
    surveys = session.each("rows surveyed", groups.survey, shuffled.folders, **known)
    user_counts = _series(pa.concat_tables([part.users for part in surveys]), "user_id")
    regions = _series(pa.concat_tables([part.regions for part in surveys]), "region").groupby(level=0).sum()
    found = vocabulary.Counted(item_counts, user_counts, regions)
    encoded = vocabulary.encodings(config, before, found, zone.processed, instants.cut)
    _write_encodings(config, zone, encoded)
    beside = [
        session.beside(groups.write_buckets, shuffled.counts, zone),
        session.beside(_write_context, config, zone, facts["shift_ms"]),
    ]
    chosen = select(surveys, config)
    numbers = range(len(shuffled.folders))
    with _workflow_beside(config, zone):
        each = (shuffled.folders, numbers, chosen)
        counts = session.each("point-in-time rows", groups.build, *each, **known)
    for name in ("requests", "truth"):
        parts = [f"{scratch}/{part}/part-{number:05d}.parquet" for part in (name, f"cold_{name}") for number in numbers]
        beside.append(session.beside(store.concat, parts, f"{zone.features}/{name}.parquet"))
    keys = {
        "covisits": (config.features.covisit_half_lives_hours, covisits.KEY),
        "first_takes": (config.features.first_takes, first_takes.KEY),
    }
    for name, (wanted, key) in keys.items():
        if wanted:
            parts = [f"{scratch}/{name}/part-{number:05d}.parquet" for number in numbers]
            beside.append(session.beside(counted.write, parts, key, f"{zone.features}/{name}.parquet"))
    beside.append(session.beside(_write_profiles, config, zone, len(numbers), instants.log_end))
    _write_statics(config, zone, encoded, user_counts.index.to_numpy(object))
    for task in beside:
        task.result()
    store.clear(scratch)
    totals = {name: int(sum(part[name] for part in counts)) for name in groups.WINDOWS}
    sizes = {"items": len(encoded["item_id"]), "users": len(encoded["user_id"])}
    return {"rows": totals, **sizes, "shift_ms": facts["shift_ms"]}


def known_vocabulary(config: Config, zone: artifacts.Zones, log: Callable[[str], None]) -> encoding.Encodings:
    """The vocabulary of an earlier run, to be extended; empty when there is none, or when it means something else."""
    url = f"{zone.features}/vocabulary.json"
    if not artifacts.exists(url):
        return {}
    held = artifacts.read_json(url)
    if held["fingerprint"] != vocabulary.fingerprint(config):
        log("other columns, thresholds or tables than before: the vocabulary is made anew, and all codes with it")
        return {}
    return held["encodings"]


def _series(table: pa.Table, key: str) -> pd.Series:
    frame = table.to_pandas()
    return frame.set_index(key)["count"]


def _write_encodings(config: Config, zone: artifacts.Zones, encoded: encoding.Encodings) -> None:
    """``vocabulary.json``, which the next run extends, and for readers ``encodings.json``."""
    document = {"fingerprint": vocabulary.fingerprint(config), "encodings": encoded}
    artifacts.write_json(f"{zone.features}/vocabulary.json", document)
    artifacts.write_json(f"{zone.features}/encodings.json", encoded)


@contextlib.contextmanager
def _workflow_beside(config: Config, zone: artifacts.Zones) -> Iterator[None]:
    """Save the NVTabular workflow while the block runs, in a process of its own.

    NVTabular takes seconds to import, and what it takes of memory goes with the process, not into a worker's.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        saved = pool.submit(_save_workflow, config, zone)
        yield
        saved.result()


def _save_workflow(config: Config, zone: artifacts.Zones) -> None:
    import etl.lean  # noqa: F401 (before Merlin, which would import TensorFlow)
    from etl import workflow

    workflow.save(config, artifacts.read_json(f"{zone.features}/encodings.json"), f"{zone.features}/workflow")


def _write_context(config: Config, zone: artifacts.Zones, shift: int) -> None:
    context.run(config, zone, groups.catalogue(zone), shift)


def _write_profiles(config: Config, zone: artifacts.Zones, count: int, log_end: int) -> None:
    """``user_profile.parquet``: the groups' parts, then the attributes of users without interactions."""
    folder = f"{zone.features}/by_user/user_profile"
    parts = [f"{folder}/part-{number:05d}.parquet" for number in range(count)]
    table = store.read(f"{zone.processed}/users.parquet")
    heard = store.read_all(parts, ["user_id"]).column("user_id").combine_chunks()
    silent = table.filter(pc.invert(pc.is_in(table["user_id"], value_set=heard)))
    columns = {name: silent[name] for name in ("user_id", *config.features.user_categorical)}
    columns["home_region"] = pa.array([""] * silent.num_rows, pa.string())
    columns["seen_item_ids"] = pa.array([[]] * silent.num_rows, pa.list_(pa.string()))
    stamp = pa.array(np.full(silent.num_rows, log_end), pa.timestamp("ms", tz="UTC"))
    last = groups.stamped(pa.table(columns).select(groups.profile_columns(config)), stamp)
    store.write_parts(itertools.chain(map(store.read, parts), [last]), f"{zone.features}/user_profile.parquet")


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
