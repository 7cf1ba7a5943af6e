"""One run of the stage over a few variants of the synthetic log, shared by the tests of this folder."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from contracts import artifacts, request_context
from contracts import config as settings
from etl import synthetic

ROOT = Path(__file__).parents[2]
CUT_MS = synthetic.FIRST_DAY_MS + synthetic.CUT_DAY * synthetic.DAY_MS
TIMEZONE = "Asia/Kathmandu"  # 5 3/4 hours before UTC
MIN_ITEM_COUNT = 90  # about half of the synthetic items


def configuration(folder: Path, name: str, events: Path) -> Path:
    """``configs/smoke.toml`` over another log, on the log's own clock, with all of a request's context."""
    text = (ROOT / "configs/smoke.toml").read_text()
    text = text.replace('name = "smoke"', f'name = "{name}"').replace("synthetic:events", str(events))
    text = text.replace("end_at_now", "none").replace("min_item_count = 5", f"min_item_count = {MIN_ITEM_COUNT}")
    context = f'context = {[*request_context.COLUMNS]}\ntimezone = "{TIMEZONE}"'
    text = text.replace("[features]\n", f"[features]\n{context}\n")
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@dataclasses.dataclass(frozen=True)
class Runs:
    """Where the variants lie and what each run returned."""

    folder: Path
    figures: dict[str, dict[str, Any]]

    def config(self, name: str) -> settings.Config:
        return settings.load(ROOT / "configs/smoke.toml" if name == "smoke" else self.folder / f"{name}.toml")

    def zones(self, name: str) -> artifacts.Zones:
        return artifacts.zones(str(self.folder / "root"), self.config(name))

    def frame(self, name: str, path: str) -> pd.DataFrame:
        """A file or folder below a variant's zones."""
        return pq.read_table(f"{self.zones(name).root}/{path}").to_pandas()

    def rows(self, name: str, window: str) -> pd.DataFrame:
        return self.frame(name, f"features/rows/window={window}").sort_values("row_id", ignore_index=True)

    def encodings(self, name: str) -> dict[str, Any]:
        return artifacts.read_json(f"{self.zones(name).features}/encodings.json")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Variants: smoke (as it is), base, later (another future), pieces (cut differently), broken (midway)."""
    folder = tmp_path_factory.mktemp("etl")
    log = synthetic.events().to_pandas()
    log.to_parquet(folder / "base.parquet")
    another_future(log).to_parquet(folder / "later.parquet")
    configs = {name: configuration(folder, name, folder / "base.parquet") for name in ("base", "pieces", "broken")}
    configs["later"] = configuration(folder, "later", folder / "later.parquet")
    configs["smoke"] = ROOT / "configs/smoke.toml"
    raw_values(folder / "raw.parquet")
    jobs: dict[str, dict[str, Any]] = {
        name: {"root": str(folder / "root"), "config": str(configs[name])}
        for name in ("smoke", "base", "later", "pieces", "broken")
    }
    jobs["pieces"]["constants"] = {
        "etl.ingest.PIECE_ROWS": 9_000,
        "etl.grouping.ROWS_A_SPLIT": 3_500,
        "etl.grouping.ROWS_A_GROUP": 6_000,
        "etl.rows.QUERIES": 1_000,
        "etl.profile.PAIRS": 1_000,
    }
    jobs["broken"]["broken"] = ["etl.features._write_statics"]
    jobs["again"], jobs["repaired"] = jobs["base"], {**jobs["broken"], "broken": []}
    workflow = folder / "root/base/features/workflow"
    values = {"transform": str(workflow), "values": str(folder / "raw.parquet"), "out": str(folder / "codes.parquet")}
    (folder / "jobs.json").write_text(json.dumps([*jobs.values(), values]))
    done = subprocess.run(
        [sys.executable, "tests/etl/driver.py", str(folder / "jobs.json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Runs(folder, dict(zip(jobs, json.loads(done.stdout.splitlines()[-1]))))


@pytest.fixture(scope="session")
def log(runs: Runs) -> pd.DataFrame:
    """The good events of the base variant with their category, in each user's own order."""
    events = runs.frame("base", "processed/events").merge(runs.frame("base", "processed/items.parquet"), how="left")
    return events.fillna({"department": ""}).sort_values(["user_id", "event_time", "event_id"], ignore_index=True)


def another_future(log: pd.DataFrame) -> pd.DataFrame:
    """The same log up to the cut; from there on half of it gone, the rest other items and users, and one a newcomer."""
    rng = np.random.default_rng(1)
    past = log[~(log["time"] >= CUT_MS)]
    future = log[log["time"] >= CUT_MS].sample(frac=0.5, random_state=1)
    future = future.assign(
        item=rng.permutation(future["item"].to_numpy(object)),
        user=np.where(rng.random(len(future)) < 0.2, "a-newcomer", future["user"].to_numpy(object)),
    )
    return pd.concat([past, future], ignore_index=True)


def raw_values(path: Path) -> None:
    """Rows of raw values for every column of the workflow: known, unknown, missing in both spellings."""
    rng = np.random.default_rng(2)
    items, users = synthetic.items().to_pandas(), synthetic.users().to_pandas()
    pools = {
        "user_id": [*users["user"], "nobody", None, ""],
        "item_id": [*items["item"], "nothing", None, ""],
        "life_stage": [*synthetic.LIFE_STAGES, "ghost", None, ""],
        "income": ["low", "middle", "high", "none of these", None, ""],
        "department": [*items["department"].unique(), "cellar", None, ""],
        "category": [*items["category"].unique(), "kites", None, ""],
        "brand": [*items["brand"].dropna().unique(), "no-name", None, ""],
        "region": [*synthetic.REGIONS, "the moon", None, ""],
        **{name: [*values, "never", None, ""] for name, values in request_context.FIXED.items()},
    }
    n = 3_000
    columns: dict[str, Any] = {name: rng.choice(np.array(pool, object), n) for name, pool in pools.items()}
    columns["price"] = np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(1, 1, n))
    pd.DataFrame(columns).to_parquet(path)
