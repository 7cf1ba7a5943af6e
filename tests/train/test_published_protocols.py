"""A re-timed log gives the published protocol's own figure: EASE through the zones equals EASE on the raw split.

The other side is a few lines of NumPy that know nothing of times, codes or zones.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts import artifacts
from contracts import config as settings
from etl import split
from train import tables
from train.baselines import task
from train.baselines.neighbourhood import ease
from train.metrics import ndcg

ROOT = Path(__file__).parents[2]
REGULARIZATION = 30.0
PROTOCOLS = ("leave-one-out", "random")
_SETTINGS = """
name = "films"
[source.events]
url = "{url}"
event_type = "view"
columns = {{ user_id = "who", item_id = "what", event_time = "when" }}
[source.items]
url = ""
columns = {{}}
[source.users]
url = ""
columns = {{}}
[features]
user_categorical = []
item_categorical = []
item_numeric = []
category = ""
[windows]
retrieval_end = "2024-01-01"
ranker_end = "2024-01-02"
cut = "2024-01-03"
[train]
[serve]
"""


def log():
    """Ratings of 90 people, each drawn to one of three groups of films; some films twice, some at one instant."""
    generator = np.random.default_rng(6)
    rows = []
    for user in range(90):
        own = generator.random(60) < np.where(np.arange(60) % 3 == user % 3, 0.4, 0.08)
        items = generator.permutation(np.flatnonzero(own))
        start = 1_600_000_000_000 + int(generator.integers(0, 10**10))
        times = start + np.sort(generator.integers(0, 20, len(items))) * 60_000
        rows += [(f"u{user}", f"f{item}", time) for item, time in zip(items, times)]
        rows.append((f"u{user}", f"f{items[0]}", start + 10**8))
    return pd.DataFrame(rows, columns=["who", "what", "when"])


def directly(frame, protocol, regularization):
    """NDCG@10 of EASE by the protocol."""
    people = frame.assign(user=pd.factorize(frame["who"])[0])  # the draw is over people as they come in the log
    order = people.sort_values(["user", "when"], kind="stable").drop_duplicates(["user", "what"])
    if protocol == "random":
        test = split.random_share(len(order), 0.2, 20) == 0
    else:
        size = order.groupby("user")["what"].transform("size")
        test = ((order.groupby("user").cumcount(ascending=False) == 0) & (size >= 3)).to_numpy()
    user, item = (np.unique(order[name], return_inverse=True)[1] for name in ("user", "what"))
    seen, wanted = (np.zeros((user.max() + 1, item.max() + 1)) for _ in range(2))
    seen[user[~test], item[~test]], wanted[user[test], item[test]] = 1, 1
    known = seen.any(axis=0)
    seen, wanted = seen[:, known], wanted[:, known]
    inverse = np.linalg.inv(seen.T @ seen + regularization * np.eye(seen.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    best = np.argsort(-np.where(seen > 0, -np.inf, seen @ weights), axis=1)[:, :10]
    gain = 1 / np.log2(np.arange(2, 12))
    users = seen.any(axis=1) & wanted.any(axis=1)
    reached = (np.take_along_axis(wanted, best, axis=1) @ gain)[users]
    ideal = np.cumsum(gain)[np.minimum(wanted.sum(axis=1)[users].astype(int), 10) - 1]
    return float((reached / ideal).mean())


def through_the_zones(config, zones, regularization):
    """The same of requests and truth as the etl made them."""
    ids, asked = task.evaluation(config, zones, tables.catalogue(config, zones))
    codes = dict(zip(ids.tolist(), asked.lists(ease(asked, regularization))))
    truth = tables.read(f"{zones.features}/truth.parquet", ["request_id", "item_codes"]).to_pydict()
    taken = [(codes[name], items) for name, items in zip(*truth.values()) if items and name in codes]
    hits = np.array([np.isin(listed, items) for listed, items in taken])
    return float(ndcg(hits, np.array([len(items) for _, items in taken])).mean())


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Protocol -> configuration and zones of the re-timed log; the folder's log is as ``log`` makes it."""
    folder = tmp_path_factory.mktemp("films")
    log().to_csv(folder / "log.csv", index=False)
    (folder / "films.toml").write_text(_SETTINGS.format(url=folder / "log.csv"))
    made = [split.run(str(folder / "films.toml"), name, str(folder / name), 0.2, 20)["config"] for name in PROTOCOLS]
    jobs = [{"root": str(folder / "root"), "config": path} for path in made]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    # Both in one process without TensorFlow, as tests/etl runs the stage.
    argv = [sys.executable, str(ROOT / "tests/etl/driver.py"), str(folder / "jobs.json")]
    subprocess.run(argv, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    configs = {name: settings.load(path) for name, path in zip(PROTOCOLS, made)}
    return {name: (config, artifacts.zones(str(folder / "root"), config)) for name, config in configs.items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ease_reaches_what_it_does_on_the_raw_split(films, protocol):
    expected = directly(log(), protocol, REGULARIZATION)
    assert expected > 0.1
    assert through_the_zones(*films[protocol], REGULARIZATION) == pytest.approx(expected, abs=1e-6)
