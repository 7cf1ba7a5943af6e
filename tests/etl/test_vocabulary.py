"""A daily run extends yesterday's vocabulary: what has a code keeps it, what is new comes behind."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from contracts import artifacts
from contracts.config import load
from contracts.features import FIRST_VALUE
from etl import encoding, synthetic, vocabulary
from tests.etl.conftest import CUT_MS, ROOT, configuration

COUNTS = st.dictionaries(st.text("abcdef", max_size=2), st.integers(0, 5), max_size=12)


@given(st.lists(COUNTS, min_size=1, max_size=4), st.integers(1, 4))
def test_a_code_is_never_given_to_another_value(days: list[dict[str, int]], least: int) -> None:
    known: list[str] = []
    for counts in days:
        series = pd.Series(list(counts.values()), list(counts), dtype="int64")
        after = vocabulary.extended(known, series, least)
        assert after[: len(known)] == known and len(set(after)) == len(after) and "" not in after
        assert {value for value, n in counts.items() if n >= least and value} <= set(after)
        new = after[len(known) :]
        assert new == sorted(new, key=lambda value: (-counts[value], value))
        known = after


def test_a_live_catalogue_goes_on_with_every_other_item_however_often_it_is_met_later() -> None:
    smoke = load(ROOT / "configs/smoke.toml")
    features = dataclasses.replace(smoke.features, min_item_count=3)
    counts = pd.Series({"often": 9, "enough": 3, "seldom": 2, "tomorrow": 0, "": 7})
    for live, expected in ((False, ["often", "enough"]), (True, ["often", "enough", "seldom", "tomorrow"])):
        config = dataclasses.replace(smoke, features=dataclasses.replace(features, live_items=live))
        assert vocabulary.catalogue(config, {}, counts) == expected
        # The next run: what has a code keeps it.
        later = counts + pd.Series({"often": 0, "enough": 0, "seldom": 9, "tomorrow": 20, "": 0})
        assert vocabulary.catalogue(config, {"item_id": expected}, later)[: len(expected)] == expected


def run(config: Path, root: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "etl", "run", str(config)],
        cwd=ROOT,
        env={**os.environ, "TRIREME_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_codes_are_the_same_over_three_days_of_new_items_and_users(tmp_path: Path) -> None:
    log = synthetic.events().to_pandas()
    good = log[log["event"].str.startswith("e") & (log["time"] >= synthetic.FIRST_DAY_MS)]
    good.to_parquet(tmp_path / "log-0.parquet")
    config = configuration(tmp_path, "daily", tmp_path / "log-*.parquet")
    root, seen = tmp_path / "root", []
    url = f"{root}/daily/features"
    for day in range(3):
        if day:
            # The day's file: what is hardly known becomes frequent, and there are users and an item never heard of.
            rare = good[good["item"].isin([f"i{392 + day:03d}", "i399"])].head(40)
            fresh = pd.concat([rare, rare.assign(item=f"new-{day}"), rare.assign(user=f"guest-{day}")] * 3)
            fresh = fresh.assign(event=[f"day{day}-{i}" for i in range(len(fresh))], time=CUT_MS - 1_000_000 * day)
            fresh.to_parquet(tmp_path / f"log-{day}.parquet")
        assert not run(config, root)["skipped"]
        seen.append(artifacts.read_json(f"{url}/encodings.json"))
        items = pd.read_parquet(f"{url}/items.parquet")
        assert items["item_id"].tolist() == seen[-1]["item_id"]
        assert items["item_code"].tolist() == list(range(FIRST_VALUE, FIRST_VALUE + len(items)))
    for yesterday, today in zip(seen, seen[1:]):
        for name, values in yesterday.items():
            if isinstance(values, list):
                assert today[name][: len(values)] == values, name
                codes = encoding.codes(values, today[name])
                assert codes.tolist() == encoding.codes(values, yesterday[name]).tolist()
    assert [f"new-{day}" in seen[day]["item_id"] for day in (1, 2)] == [True, True]
    assert seen[2]["user_id"][-1] == "guest-2" and seen[1]["user_id"][-1] == "guest-1"
