"""A log of JSON lines whose items move between departments: ``etl run`` and the stream count every event alike."""

import json
import os
import random
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.artifacts import zones
from contracts.config import load
from contracts.evaluation import Kind
from contracts.events import Event
from contracts.features import MS_PER_DAY, user_behaviour
from contracts.folds import row
from streaming import lake
from streaming.catalogue import Catalogue
from streaming.codec import encode
from streaming.updates import apply, foldable
from tests.streaming.stack import assert_same_row

PROJECT = Path(__file__).parents[2]
TRAIN_PYTHON = PROJECT / ".venv-train/bin/python"
START = 1_709_251_200_000  # 2024-03-01
DAYS, CUT_DAY = 8, 6
TABLE = {f"i{n}": f"d{n % 4}" if n % 5 else "" for n in range(30)}
FIELDS = ("event_id", "event_type", "event_time", "user_id", "item_id", "attributes")
CONFIG = """
name = "moving"
[source.events]
url = "{folder}/*.jsonl"
columns = {{ {columns} }}
[source.items]
url = "{folder}/items.csv"
columns = {{ item_id = "item_id", department = "department" }}
[source.users]
url = "{folder}/users.csv"
columns = {{ user_id = "user_id", segment = "segment" }}
[features]
user_categorical = ["segment"]
item_categorical = ["department"]
item_numeric = []
category = "department"
min_item_count = 1
[windows]
retrieval_end = "2024-03-05"
ranker_end = "2024-03-06"
cut = "2024-03-07"
[train]
[serve]
"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not TRAIN_PYTHON.exists(), reason=f"{TRAIN_PYTHON} is absent: make setup"),
]


def log(seed: int) -> list[Event]:
    """Clicks, items that move, and users that do, in the order of time; at one instant the moves come first."""
    rng, events = random.Random(seed), []
    for n in range(900):
        time = START + rng.randrange(DAYS * 24) * MS_PER_DAY // 24 + rng.choice([0, 0, 1])
        kind = rng.choice(["click"] * 8 + ["item_update", "user_update"])
        user, item, attributes = f"u{rng.randrange(9)}", f"i{rng.randrange(33)}", None
        if kind == "item_update":
            attributes = rng.choice([{"department": f"d{rng.randrange(6)}"}, {"department": ""}, {"colour": "red"}])
        if kind == "user_update":
            attributes = {"segment": rng.choice(["a", "b", ""])}
        of = {"user_id": None if kind == "item_update" else user, "item_id": None if kind == "user_update" else item}
        events.append(Event(f"e{n:04d}", kind, time, **of, attributes=attributes))
    return sorted(events, key=lambda each: (each.event_time, each.event_type != "item_update", each.event_id))


def streamed(events: list[Event], catalogue: Catalogue, settings) -> dict[str, dict]:
    """Rows by user after these events, seven at a time."""
    states = {}
    for start in range(0, len(events), 7):
        found, _, _ = foldable(map(encode, events[start : start + 7]), catalogue)
        states |= apply(states, found, settings, {}).states
    return {user: row(state, settings) for user, state in states.items()}


def test_the_requests_of_the_batch_are_the_rows_of_the_stream(tmp_path):
    events = log(seed=5)
    lines = [
        json.dumps({name: value for name, value in each.to_dict().items() if value is not None}) for each in events
    ]
    random.Random(1).shuffle(lines)
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    (tmp_path / "items.csv").write_text("item_id,department\n" + "".join(f"{i},{d}\n" for i, d in TABLE.items()))
    (tmp_path / "users.csv").write_text("user_id,segment\n" + "".join(f"u{n},a\n" for n in range(8)))
    columns = ", ".join(f'{name} = "{name}"' for name in FIELDS)
    (tmp_path / "moving.toml").write_text(CONFIG.format(folder=tmp_path, columns=columns))
    environ = {**os.environ, "TRIREME_ROOT": str(tmp_path / "root")}
    command = [TRAIN_PYTHON, "-m", "etl", "run", tmp_path / "moving.toml"]
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "item_update names what is no column" in done.stderr

    config = load(tmp_path / "moving.toml")
    zone = zones(str(tmp_path / "root"), config)
    asked = pq.read_table(f"{zone.features}/requests.parquet").to_pylist()
    requests = {each["user_id"]: each for each in asked if each["kind"] == Kind.TEST}
    before = [each for each in events if each.event_time < START + CUT_DAY * MS_PER_DAY]
    names = [feature.name for feature in user_behaviour(config.features).features]
    # Updates as they come upon the table as it was, and the catalogue that the etl wrote, which knows all of them.
    for catalogue in (Catalogue("department", TABLE), lake.catalogue(config, zone, [])):
        rows = streamed(before, catalogue, config.features)
        assert sorted(rows) == sorted(requests)
        for user, found in rows.items():
            assert_same_row({name: found[name] for name in names}, {name: requests[user][name] for name in names})
    for user, asked in requests.items():
        said = [e for e in before if e.event_type == "user_update" and e.user_id == user]
        assert asked["segment"] == (said[-1].attributes["segment"] if said else "a" if user != "u8" else "")
