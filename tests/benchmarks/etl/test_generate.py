"""The benchmark's log is the same wherever it is made, and holds what is planted in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from contracts.events import INTERACTIONS, LIMITS, EventType
from tests.benchmarks.etl import case, generate

ROWS = 30_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("log")
    generate.generate(made, ROWS, lambda text: None)
    return made


@pytest.fixture(scope="module")
def log(folder: Path) -> pd.DataFrame:
    return pd.concat([pq.read_table(file).to_pandas() for file in sorted((folder / "events").iterdir())])


def test_the_same_log_is_made_twice(folder: Path, tmp_path: Path) -> None:
    generate.generate(tmp_path, ROWS, lambda text: None)
    for file in sorted(folder.rglob("*.parquet")):
        assert pq.read_table(file).equals(pq.read_table(tmp_path / file.relative_to(folder)))


def test_what_is_there_is_not_made_again(folder: Path) -> None:
    said: list[str] = []
    generate.generate(folder, ROWS, said.append)
    assert not said


def test_rows_are_counted_and_files_follow_the_clock(folder: Path, log: pd.DataFrame) -> None:
    files = sorted((folder / "events").iterdir())
    assert len(log) == ROWS
    assert len(files) == 4
    middles = [pc.approximate_median(pq.read_table(file)["event_time"]).as_py() for file in files]
    assert middles == sorted(middles)
    good = log["event_time"][log["event_time"] >= case.FIRST_MS]
    assert good.max() < case.FIRST_MS + case.DAYS * case.MS_PER_DAY


def test_every_kind_of_bad_row_is_planted(log: pd.DataFrame) -> None:
    bad = {
        "user_id": log["user_id"].isna(),
        "item_id": log["item_id"].isna(),
        "event_type": ~log["event_type"].isin([kind.value for kind in EventType]),
        "quantity": log["quantity"] > LIMITS.max_quantity,
        "value": log["value"] < 0,
        "event_time": log["event_time"] < LIMITS.min_event_time,
    }
    shares = {name: rows.mean() for name, rows in bad.items()}
    assert min(shares.values()) > 0
    assert np.isclose(sum(shares.values()), generate.BAD_SHARE, rtol=0.3)


def test_repeated_ids_arrive_later_and_may_say_something_else(log: pd.DataFrame) -> None:
    again = log["event_id"].duplicated()
    assert again.sum() == round(ROWS * generate.REPEAT_SHARE)
    pairs = log[log["event_id"].duplicated(keep=False) & log["value"].notna()].groupby("event_id")["value"]
    assert 0 < (pairs.nunique() == 2).mean() < 1


def test_the_case_knows_the_contract() -> None:
    """The peers read the case instead of the contract, so that they depend on nothing of Trireme's."""
    assert {*case.EVENT_TYPES} == {kind.value for kind in EventType}
    assert {*case.INTERACTION_TYPES} == {kind.value for kind in INTERACTIONS}
    assert (
        LIMITS.max_id_chars,
        LIMITS.min_quantity,
        LIMITS.max_quantity,
        LIMITS.min_event_time,
        LIMITS.max_ahead_ms,
    ) == (case.MAX_ID_CHARS, case.MIN_QUANTITY, case.MAX_QUANTITY, case.MIN_EVENT_TIME, case.MAX_AHEAD_MS)
