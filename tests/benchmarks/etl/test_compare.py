"""The comparison finds what differs, wherever it lies, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.etl import case, compare

ROWS = compare.OUTPUTS[-1]
N = 200


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    sizes = rng.integers(0, 4, N)
    columns: dict[str, object] = {
        "user_id": [f"u{i // 3}" for i in range(N)],
        "as_of": np.arange(N) * 7,
        "region": "north",
        "home_region": "",
        "interaction_count": sizes,
        "last_event_time": np.arange(N),
        "session_start_time": np.arange(N),
        "session_interactions": 1,
    }
    for name in ("recent_item_ids", "count_categories"):
        columns[name] = [[f"{name}-{i}" for i in range(size)] for size in sizes]
    for name in ("recent_event_times", "recent_item_codes", "target_item_codes"):
        columns[name] = [list(range(size)) for size in sizes]
    for hours in case.HALF_LIVES_HOURS:
        columns[f"category_counts_{hours}h"] = [list(rng.random(size) + 0.5) for size in sizes]
    return pd.DataFrame(columns)


def difference(folder: Path, theirs: pd.DataFrame, ours: pd.DataFrame | None = None) -> str | None:
    shutil.rmtree(folder)
    zone = folder / "ours/features/rows/window=A"
    zone.mkdir(parents=True)
    (folder / "peer").mkdir()
    (rows() if ours is None else ours).assign(row_id=1).to_parquet(zone / "part.parquet")
    theirs.to_parquet(folder / "peer/rows.parquet")
    return compare.difference(folder / "ours", folder / "peer", folder / "split", (ROWS,))


def changed(column: str, value: Callable[[object], object], at: int = 5) -> pd.DataFrame:
    """The rows, the first from ``at`` on with three list entries changed in one column."""
    table = rows()
    row = int(np.flatnonzero(table["interaction_count"].to_numpy()[at:] == 3)[0]) + at
    table.at[row, column] = value(table.at[row, column])
    return table


@pytest.fixture(autouse=True)
def small_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "ROWS_A_SPLIT", 30)


def test_equal_rows_are_equal_in_any_order_and_type(tmp_path: Path) -> None:
    shuffled = rows().sample(frac=1.0, random_state=1).astype({"region": "category", "interaction_count": "int16"})
    assert difference(tmp_path, shuffled) is None


def test_a_float_may_differ_by_rounding_only(tmp_path: Path) -> None:
    name = f"category_counts_{case.HALF_LIVES_HOURS[0]}h"
    assert difference(tmp_path, changed(name, lambda held: [*held[:-1], held[-1] * (1 + 1e-11)])) is None
    assert name in str(difference(tmp_path, changed(name, lambda held: [*held[:-1], held[-1] * (1 + 1e-8)])))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("region", lambda held: "south"),
        ("region", lambda held: None),
        ("session_start_time", lambda held: held + 1),
        ("recent_item_ids", lambda held: held[::-1]),
        ("recent_event_times", lambda held: [*held[:-1], held[-1] + 1]),
        ("target_item_codes", lambda held: held[:-1]),
        ("count_categories", lambda held: [*held, "more"]),
    ],
)
def test_a_changed_value_is_found_with_both_rows(
    column: str, value: Callable[[object], object], tmp_path: Path
) -> None:
    theirs = changed(column, value)
    found = str(difference(tmp_path, theirs))
    odd = (theirs[column].astype(str) != rows()[column].astype(str)).idxmax()
    assert f"rows: {column} differs" in found
    assert found.count(f"'user_id': 'u{odd // 3}', 'as_of': {odd * 7},") == 2


def test_a_row_too_few_and_a_row_too_many_are_found(tmp_path: Path) -> None:
    assert difference(tmp_path, rows().drop(index=17))
    assert difference(tmp_path, rows(), rows().drop(index=17))
    assert difference(tmp_path, pd.concat([rows(), rows().tail(1)]))
