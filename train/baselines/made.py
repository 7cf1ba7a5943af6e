"""The lists of the baselines: tuned, refitted and kept.

They depend on the data and on nothing else that is trained, so that they are made once for all releases of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import (
    Zones,
    code_version,
    drop_manifest,
    fingerprint,
    is_current,
    read_json,
    read_manifest,
    write_json,
    write_manifest,
)
from contracts.config import Config
from train.baselines import ALL, moments
from train.baselines.neighbourhood import released
from train.baselines.task import Task, evaluation, on_window_c
from train.baselines.tuning import BASELINES, tune
from train.metrics import K
from train.tables import Catalogue, flat, read


def lists(
    config: Config, zones: Zones, held: Catalogue, names: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, Any]]:
    """Lists of the named baselines, of those that were made before from the same data, and of the release's own table.

    Args:
        config: whose windows and seed.
        zones: whose data; what is made is kept in ``zones.baselines``.
        held: the catalogue.
        names: of ``train.baselines.ALL``.

    Returns:
        The ids of the evaluation's requests, sorted; name -> item codes int64 ``[requests, 10]``, best first,
        ``item_item`` being the release's table alone; and name -> what ``tune`` tells of it.
    """
    request_ids, task = evaluation(config, zones, held)
    found, tuned = make(config, zones, held, request_ids, task, names)
    at_once = moments.lists(config, zones, held, task) if config.windows.next_events else {}
    return request_ids, {"item_item": task.lists(released(task, zones)), **at_once, **found}, tuned


def make(
    config: Config, zones: Zones, held: Catalogue, request_ids: np.ndarray, task: Task, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """``lists`` without the release: needs nothing that is trained here."""
    mark = _mark(config, zones)
    found, tuned = _kept(zones, mark)
    lacking = [name for name in ALL if name in names and name not in found]
    if lacking:
        cut = int(read_manifest(zones.processed)["cut"])
        rehearsal = on_window_c(config, zones, held, moving=bool((task.as_of != cut).any()))
        for name in lacking:
            tuned[name] = tune(name, rehearsal)
            started = time.monotonic()
            found[name] = task.lists(BASELINES[name].fit(task, **tuned[name]["settings"]))
            tuned[name]["refit_seconds"] = round(time.monotonic() - started, 1)
            _keep(zones, mark, request_ids, found, tuned)
    made = [name for name in ALL if name in found]
    return {name: found[name] for name in made}, {name: tuned[name] for name in made}


def _mark(config: Config, zones: Zones) -> str:
    data = [read_manifest(zone)["fingerprint"] for zone in (zones.processed, zones.features)]
    settings = [config.train.seed, config.train.item_item_items, config.serve.exclude_seen]
    here = Path(__file__).parent
    code = [here.parent / "item_item.py", here.parent / "metrics.py", code_version("train/baselines")]
    return fingerprint(*data, *settings, *code)


def _kept(zones: Zones, mark: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not is_current(zones.baselines, mark):
        return {}, {}
    tuned = read_json(f"{zones.baselines}/tuned.json")
    table = read(f"{zones.baselines}/lists.parquet", list(tuned))
    return {name: flat(table, name)[0].reshape(-1, K).astype(np.int64) for name in tuned}, tuned


def _keep(
    zones: Zones, mark: str, request_ids: np.ndarray, found: dict[str, np.ndarray], tuned: dict[str, Any]
) -> None:
    """Write all that there is so far: who interrupts the tuning of one loses no other."""
    drop_manifest(zones.baselines)
    write_json(f"{zones.baselines}/tuned.json", tuned)
    ends = pa.array(np.arange(len(request_ids) + 1, dtype=np.int32) * K)
    columns = {name: pa.ListArray.from_arrays(ends, pa.array(found[name].ravel(), pa.int32())) for name in found}
    url = f"{zones.baselines}/lists.parquet"
    with fsspec.open(url, "wb") as file:
        pq.write_table(pa.table({"request_id": pa.array(request_ids.tolist(), pa.string()), **columns}), file)
    write_manifest(zones.baselines, mark, baselines=list(found))
