"""What was shown and what became of it: planted clicks are found on their rows, and features stay what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import live_files
from contracts.artifacts import Zones
from etl import impressions

HOUR = 3_600_000
NOW = 1_760_000_000_000


def impression(request: str, items: list[str], as_of: int = NOW, columns: tuple[str, ...] = ("evidence", "trend")):
    """An impression as the lake holds it; the input in column c of the item at position p is 10 p + c."""
    n, width = len(items), len(columns)
    inputs = (10 * np.arange(n)[:, None] + np.arange(width)).ravel().tolist()
    return {
        **dict.fromkeys(("user_id", "anonymous_id", "session_id", "device", "region", "variant"), "x"),
        "request_id": request,
        "as_of": as_of,
        "release": "r1",
        "item_ids": items,
        "scores": [1.0 / (p + 1) for p in range(n)],
        "sources": ["personal"] * n,
        "retrieval_sources": ["two_tower"],
        "retrieval_scores": [float(p) for p in range(n)],
        "probabilities": [float("nan") if item == "unranked" else 0.5 for item in items],
        "categorical_columns": ["brand"],
        "categorical": list(range(n)),
        "continuous_columns": list(columns),
        "continuous": inputs,
    }


def click(request: str | None, item: str, time: int, kind: str = "click") -> dict:
    return {"request_id": request, "item_id": item, "event_time": time, "event_type": kind}


@pytest.fixture
def lake(tmp_path: Path):
    """A lake of given impressions, a file each, and trusted events."""
    zones = Zones(str(tmp_path))

    def fill(shown: list[dict], events: list[dict]) -> Zones:
        for offset, each in enumerate(shown):
            name = live_files.live_name(0, "0" * 32, offset, offset)
            path = Path(zones.raw) / "impressions/day=2026-01-01/hour=00" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            lists = {"scores": pa.float32(), "retrieval_scores": pa.float32(), "probabilities": pa.float32(),
                     "continuous": pa.float32(), "categorical": pa.int32()}  # fmt: skip
            columns = {
                key: pa.array([value], pa.list_(lists[key]) if key in lists else None) for key, value in each.items()
            }
            pq.write_table(pa.table(columns), path)
        folder = Path(zones.processed) / "events/day=2026-01-01"
        folder.mkdir(parents=True)
        kinds = {"event_time": pa.int64()}
        names = ("request_id", "item_id", "event_time", "event_type")
        pq.write_table(
            pa.table({name: pa.array([e[name] for e in events], kinds.get(name, pa.string())) for name in names}),
            folder / "part.parquet",
        )
        return zones

    return fill


def test_planted_clicks_are_found_on_their_rows_alone(lake) -> None:
    zones = lake(
        [impression("a", ["i1", "i2", "i3"]), impression("b", ["i1", "i2"], NOW + HOUR)],
        [
            click("a", "i2", NOW + 5000),
            click("a", "i2", NOW + 9000, "purchase"),
            click("b", "i1", NOW + HOUR, "purchase"),
            click("a", "i9", NOW + 1),  # not among what was shown
            click("b", "i2", NOW),  # before it was shown
            click("a", "i3", NOW + 25 * HOUR),  # too late
            click("a", "i1", NOW + 1, "impression"),  # seen, not chosen
            click(None, "i1", NOW + 1),
        ],
    )
    found = impressions.rows(zones, within_hours=24).to_pylist()
    assert [(row["request_id"], row["position"], row["item_id"]) for row in found] == [
        ("a", 0, "i1"), ("a", 1, "i2"), ("a", 2, "i3"), ("b", 0, "i1"), ("b", 1, "i2")]  # fmt: skip
    clicked = {(row["request_id"], row["item_id"]): row["clicked_after_ms"] for row in found if row["clicked"]}
    assert clicked == {("a", "i2"): 5000, ("b", "i1"): 0}
    assert all(row["clicked_after_ms"] is None for row in found if not row["clicked"])


def test_features_are_those_that_were_served(lake) -> None:
    zones = lake([impression("a", ["i1", "unranked", "i3"])], [])
    found = impressions.rows(zones)
    assert found["evidence"].to_pylist() == [0, 10, 20] and found["trend"].to_pylist() == [1, 11, 21]
    assert found["brand"].to_pylist() == [0, 1, 2] and found["retrieval_two_tower"].to_pylist() == [0, 1, 2]
    assert np.isnan(found["probability"].to_numpy()).tolist() == [False, True, False]
    assert set(found["release"].to_pylist()) == {"r1"}


def test_impressions_of_releases_with_other_columns_stand_side_by_side(lake) -> None:
    zones = lake([impression("a", ["i1"]), impression("b", ["i1"], columns=("trend", "new"))], [])
    found = {row["request_id"]: row for row in impressions.rows(zones).to_pylist()}
    assert (found["a"]["trend"], found["a"]["new"]) == (1, None)
    assert (found["b"]["trend"], found["b"]["evidence"]) == (0, None)


def test_an_impression_that_was_published_twice_counts_once(lake) -> None:
    zones = lake([impression("a", ["i1"]), impression("a", ["i1"])], [click("a", "i1", NOW + 1)])
    assert impressions.rows(zones)["clicked"].to_pylist() == [True]


def test_a_lake_without_impressions_gives_no_rows(tmp_path: Path) -> None:
    assert len(impressions.rows(Zones(str(tmp_path)))) == 0
