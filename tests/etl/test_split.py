"""A protocol as a re-timed log: what is held out lies where the protocol says, and nobody sees it before."""

from __future__ import annotations

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

from contracts import artifacts
from contracts import config as settings
from contracts.errors import ArtifactError
from etl import split
from tests.etl import shop

ROOT = Path(__file__).parents[2]
DAY = shop.DAY_MS
USERS, EACH = 25, 10


def log(seed: int = 4) -> pd.DataFrame:
    """Every user takes ten of thirty items within an hour of a year, some at the same instant, and one item twice."""
    generator = np.random.default_rng(seed)
    rows = []
    for user in range(USERS):
        begin = shop.START_MS + int(generator.integers(0, 365)) * DAY
        minutes = np.sort(generator.integers(0, 8, EACH))
        taken = generator.permutation(30)[:EACH]
        rows += [(f"u{user}", f"i{item}", begin + int(minute) * 60_000) for item, minute in zip(taken, minutes)]
        rows.append((f"u{user}", f"i{taken[3]}", begin + 3_600_000))
    return pd.DataFrame(rows, columns=["who", "what", "when"])


def retimed(frame: pd.DataFrame, protocol: str, **options: Any) -> tuple[pd.DataFrame, list[int]]:
    """The re-timed log beside the old times, and the ends of windows A, B and C."""
    user, item = (pd.factorize(frame[name])[0] for name in ("who", "what"))
    made = split.retime(user, item, frame["when"].to_numpy(), protocol, **options)
    ends = [int(pd.Timestamp(day).value // 1_000_000) for day in made.windows.values()]
    return frame.iloc[made.row].assign(now=made.time, window=np.searchsorted(ends, made.time, side="right")), ends


def test_leave_one_out_holds_out_the_last_the_second_last_and_three_before_in_the_order_of_the_log() -> None:
    frame = log()
    found, _ = retimed(frame, "leave-one-out")
    first = frame.drop_duplicates(["who", "what"]).sort_values("when", kind="stable")
    for user, rows in found.sort_values("now").groupby("who"):
        assert rows["what"].tolist() == first[first["who"] == user]["what"].tolist()
        assert rows["window"].tolist() == [0] * (EACH - 5) + [1] * 3 + [2, 3]
        assert rows["now"].is_unique, "interactions of one instant are told apart by their place in the log"


def test_a_user_of_too_few_interactions_is_learned_from_and_not_tested() -> None:
    assert split.leave_one_out(np.array([1, 1, 2, 2, 2, 3]), 3).tolist() == [-1, -1, -1, 1, 0, -1]


@pytest.mark.parametrize("protocol", ["leave-one-out", "random"])
def test_the_newest_interaction_known_is_a_day_old_in_every_window_and_gaps_before_stay(protocol: str) -> None:
    frame = log()
    found, ends = retimed(frame, protocol)
    kept = found[found["window"] == 0]
    for _, rows in kept.groupby("who"):
        assert rows["now"].max() == ends[0] - DAY
        gaps, before = np.diff(rows["now"]), np.diff(rows["when"])
        assert (np.abs(gaps - before) < len(rows)).all()
    for window, end in enumerate(ends, start=1):
        held = found[found["window"] == window]["now"]
        assert set((held - end) % DAY) == {0}
        assert held.max() == (end if window != 1 else ends[1] - DAY)
    assert found["now"].max() <= frame["when"].max()


def test_random_holds_out_exact_shares_at_one_instant_a_window_and_the_seed_repeats_them() -> None:
    found, ends = retimed(log(), "random", share=0.2, seed=7)
    sizes = found["window"].value_counts().sort_index().tolist()
    assert sizes == [150, 25, 25, 50]
    for window, end in enumerate(ends, start=1):
        assert set(found[found["window"] == window]["now"]) == {end}
    assert retimed(log(), "random", share=0.2, seed=7)[0].equals(found)
    assert not retimed(log(), "random", share=0.2, seed=8)[0].equals(found)


def test_settings_come_back_from_the_toml_that_is_written() -> None:
    held = {
        "name": "a",
        "list": ["x", 'quo"te'],
        "on": True,
        "table": {"size": 0.5, "odd key:token": {"b": 1}, "none": {}},
    }
    assert settings.tomllib.loads(split.toml(held)) == held


def test_a_share_that_leaves_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"--share: expected more than 0 and less than 0\.5, got 0\.5"):
        split.run(str(shop.write(tmp_path)), "random", str(tmp_path), 0.5, 1)


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[settings.Config, artifacts.Zones, dict]]:
    """Both protocols of the shop, by the command line and through the stage."""
    folder = tmp_path_factory.mktemp("split")
    path = shop.write(folder)
    (folder / "items.csv").write_text("what,kind,price\n" + "".join(f"i{i},k{i % 3},{i + 1}.5\n" for i in range(30)))
    log().assign(kind="purchase", price=1.5, n=1).to_csv(folder / "events.csv", index=False)
    made, jobs = {}, []
    for protocol in ("leave-one-out", "random"):
        done = subprocess.run(
            [sys.executable, "-m", "etl", "split", str(path), protocol, "--out", str(folder / protocol)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        made[protocol] = json.loads(done.stdout.splitlines()[-1])
        jobs.append({"root": str(folder / "root"), "config": made[protocol]["config"]})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = [sys.executable, str(ROOT / "tests/etl/driver.py"), str(folder / "jobs.json")]
    subprocess.run(driver, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return {
        protocol: (config := settings.load(figures["config"]), artifacts.zones(str(folder / "root"), config), figures)
        for protocol, figures in made.items()
    }


def test_the_pipeline_on_the_split_has_the_protocols_requests_and_truth(splits: Any) -> None:
    _, zones, figures = splits["leave-one-out"]
    truth = pq.read_table(f"{zones.features}/truth.parquet").to_pandas()
    requests = pq.read_table(f"{zones.features}/requests.parquet").to_pandas()
    first = log().drop_duplicates(["who", "what"]).sort_values("when", kind="stable")
    last = first.groupby("who")["what"].last()
    asked = requests[requests["kind"] == "test"] if "kind" in requests else requests
    assert len(asked) == USERS
    assert figures["left_out"] == USERS, "the second of two interactions with one item"
    assert all(last[row.user_id] == row.item_ids[0] for row in truth[truth["request_id"].isin(last.index)].itertuples())
    for row in asked.itertuples():
        assert last[row.user_id] not in row.seen_item_ids
        assert len(row.seen_item_ids) == EACH - 1
    _, zones, _ = splits["random"]
    for window, sizes in zip("BC", (25, 25)):
        rows = pq.read_table(f"{zones.features}/rows/window={window}").to_pandas()
        assert rows["user_id"].is_unique
        assert sum(map(len, rows["target_item_codes"])) == sizes
