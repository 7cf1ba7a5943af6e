"""What the models are trained on is what they are served: NVTabular's codes of raw events are those of the release.

Raw events of the smoke shop, joined with the raw attributes of their user and item, go through the saved NVTabular
workflow in the training environment, and through the served path: a raw row, the release's tables, ``Lookup``.
"""

import random
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from contracts.artifacts import read_json
from contracts.config import load
from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY, query_columns
from contracts.requests import Request
from ensemble.steps.lookup import Lookup
from ensemble.steps.release import Release
from ensemble.steps.tables import load as load_tables
from tests.conftest import CONFIG, REPOSITORY, Platform

TRAIN_PYTHON = REPOSITORY / ".venv-train/bin/python"
FEATURES = load(REPOSITORY / CONFIG).features
EVENTS = 5_000

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not TRAIN_PYTHON.exists(), reason=f"{TRAIN_PYTHON} is absent: make setup"),
]


@pytest.fixture(scope="module")
def raw(platform) -> list[dict[str, str]]:
    """Raw values of real events and of events that no vocabulary knows; "" is missing."""
    zone = platform[0].zone / "processed"
    log = ds.dataset(zone / "events").to_table(columns=["user_id", "item_id", "region"]).to_pylist()
    items = {row["item_id"]: row for row in pq.read_table(zone / "items.parquet").to_pylist()}
    users = {row["user_id"]: row for row in pq.read_table(zone / "users.parquet").to_pylist()}
    chosen = random.Random(5).sample(log, EVENTS)
    chosen += [{"user_id": user, "item_id": "nothing", "region": ""} for user in ("nobody", chosen[0]["user_id"])]
    attributes = [(users, "user_id", FEATURES.user_categorical), (items, "item_id", FEATURES.item_categorical)]
    rows = [
        dict(event)
        | {name: table.get(event[key], {}).get(name) or "" for table, key, names in attributes for name in names}
        for event in chosen
    ]
    values = [*FEATURES.user_categorical, *FEATURES.item_categorical, "region"]
    rows.append({**rows[0], **dict.fromkeys(values, "never heard of")})
    return rows


@pytest.fixture(scope="module")
def by_nvtabular(platform, raw, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder: Path = tmp_path_factory.mktemp("codes")
    columns = {name: pa.array([row[name] for row in raw], pa.string()) for name in raw[0]}
    numbers = {name: pa.array(np.zeros(len(raw))) for name in FEATURES.item_numeric}
    pq.write_table(pa.table(columns | numbers), folder / "raw.parquet")
    paths = [platform[0].zone / "features/workflow", folder / "raw.parquet", folder / "codes.parquet"]
    command = [TRAIN_PYTHON, "-m", "tests.parity.nvtabular_codes", *paths]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    table = pq.read_table(folder / "codes.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.fixture(scope="module")
def lookup(platform) -> Lookup:
    running: Platform = platform[0]
    current = read_json(f"{running.zone}/releases/current.json")["release"]
    return Lookup(load_tables(Release.open(running.zone / "releases" / current)))


def test_users_and_recent_items_have_the_codes_of_training(raw, by_nvtabular, lookup):
    rows = [
        {**lookup.unknown_row(), **{name: event[name] for name in FEATURES.user_categorical}}
        | {"recent_item_ids": [event["item_id"]], "recent_event_times": [1]}
        for event in raw
    ]
    asked = [Request(event["user_id"], region=event["region"]) for event in raw]
    query = lookup.query([lookup.envelope(request, row, 2, 0) for request, row in zip(asked, rows)], rows)
    for i, name in enumerate(query_columns(FEATURES)):
        np.testing.assert_array_equal(query.user_codes[:, i], by_nvtabular[name], err_msg=name)
    np.testing.assert_array_equal(query.recent_items[:, 0], by_nvtabular["item_id"])
    codes = set(query.user_codes.ravel()) | set(query.recent_items[:, 0])
    assert {NULL, OUT_OF_VOCABULARY, FIRST_VALUE} <= codes, "the events should try every kind of code"


def test_attributes_of_catalogue_items_have_the_codes_of_training(platform, raw, by_nvtabular):
    zone = platform[0].zone
    current = read_json(f"{zone}/releases/current.json")["release"]
    tables = load_tables(Release.open(zone / "releases" / current))
    # The last row's attributes are made up: its item has others.
    known = np.flatnonzero(by_nvtabular["item_id"][:-1] >= FIRST_VALUE)
    assert len(known) > EVENTS / 2
    for name in FEATURES.item_categorical:
        served = tables.item_codes[name][by_nvtabular["item_id"][known]]
        np.testing.assert_array_equal(served, by_nvtabular[name][known], err_msg=name)
