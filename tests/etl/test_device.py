"""One code for both kinds of array: nothing is called that CuPy has not, and a device's arrays give the same tables.

No GPU was at hand: the stand-in of ``strict_arrays`` refuses what CuPy refuses, and that is all that is shown here.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from contracts.config import load
from etl import behaviour, device, history, profile, rows, timeline
from tests.etl.strict_arrays import FUNCTIONS, StrictArray, StrictModule

ROOT = Path(__file__).parents[2]
SMOKE = load(ROOT / "configs/smoke.toml")
ARRAY_MODULES = ("device", "history", "behaviour", "profile", "rows", "timeline")
CATALOGUE = [f"i{n}" for n in range(0, 30, 2)]


def events(seed: int, size: int = 600) -> pa.Table:
    """Interactions and reports of dwell of a few users, many of them of one instant, in any order."""
    rng = np.random.default_rng(seed)
    time = 1_600_000_000_000 + rng.integers(0, 400, size) * 600_000
    region = np.array(["", "east", "west", "été"], object)[rng.integers(0, 4, size)]
    columns = {
        "user_id": [f"u{n}" for n in rng.integers(0, 7, size)],
        "item_id": [f"i{n}" for n in rng.integers(0, 30, size)],
        "event_time": time,
        "event_id": [f"e{n}" for n in rng.permutation(size)],
        "region": [name or None for name in region],
        "category": [f"c{n}" for n in rng.integers(0, 5, size)],
        "dwell_ms": pa.array(rng.integers(0, 9_000, size), mask=rng.random(size) < 0.8),
    }
    return pa.table(columns)


def attributes(users: list[str], changes: int = 0) -> pa.Table:
    """Attributes of users; with ``changes`` so many a user, the first from the beginning on."""
    columns = {name: [f"{name}-{n}" for n in range(len(users))] for name in SMOKE.features.user_categorical}
    at = [1_600_000_000_000 * (n % changes) for n in range(len(users))] if changes else []
    return pa.table({"user_id": users, **({"valid_from": at} if changes else {}), **columns})


def everything(table: pa.Table) -> list[Any]:
    """All that the partition functions make of a group of users, as plain Python."""
    log = history.build(table)
    codes = rows.catalogue_codes(log, CATALOGUE)
    found = rows.targets(log, codes)
    chosen = np.arange(0, len(found.user), 3)
    newest, former = attributes(["u0", "u1", "u3"]), attributes(["u1", "u1", "u3", "u3"], changes=2)
    users = timeline.Timeline(newest, former, "user_id")
    ids = np.arange(len(found.user))
    made = [
        [table.to_pylist() for table in rows.training_rows(log, found, chosen, ids, codes, SMOKE, users, seen=seen)]
        for seen in (True, False)
    ]
    asked = np.array(["u3", "a stranger", "u0"], object)
    cut = 1_600_000_000_000 + 200 * 600_000
    made.append(rows.snapshot(log, asked, cut, SMOKE, users).to_pylist())
    instants = rows.Instants(cut - 2, cut - 1, cut, log_end=int(found.as_of.max()), test_end=1 << 62)
    made.append(rows.truth(log, found, codes, CATALOGUE, instants).to_pylist())
    return [*made, log.users_before(cut).tolist()]


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> StrictModule:
    """A device's arrays in place of NumPy's."""
    module = StrictModule()
    monkeypatch.setattr(device, "arrays", lambda: module)
    return module


@pytest.mark.parametrize("name", ARRAY_MODULES)
def test_only_functions_that_cupy_has_too_are_called(name: str) -> None:
    tree = ast.parse((ROOT / f"etl/{name}.py").read_text())
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("xp", "arrays()", "device.arrays()")
    }
    assert called <= set(FUNCTIONS), called - set(FUNCTIONS)


@pytest.mark.parametrize("name", ["history", "behaviour", "profile"])
def test_what_works_on_the_devices_arrays_does_not_know_numpy(name: str) -> None:
    tree = ast.parse((ROOT / f"etl/{name}.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"numpy", "pandas", "cupy", "cudf"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_devices_arrays_give_the_tables_that_numpys_give(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = everything(events(seed))
    monkeypatch.setattr(profile, "PAIRS", 500)  # so that there is more than one run
    module = StrictModule()
    monkeypatch.setattr(device, "arrays", lambda: module)
    assert everything(events(seed)) == expected


def test_an_empty_group_is_no_special_case_on_a_device(strict: StrictModule) -> None:
    log = history.build(events(1, 0).cast(events(1, 1).schema))
    nobody, instant = np.array([-1]), np.array([5])
    (row,) = behaviour.rows(log, nobody, instant, SMOKE.features).to_pylist()
    assert row["recent_item_ids"] == [] and row["interaction_count"] == 0
    low, high = log.before(strict.asarray(nobody), strict.asarray(instant))
    assert profile.home_regions(log, low, high).to_pylist() == [""]
    assert len(profile.seen_items(log, low, high, 9).items) == 0


def test_what_cupy_lacks_is_made_of_what_it_has(strict: StrictModule) -> None:
    rng = np.random.default_rng(5)
    values, sizes = rng.integers(0, 1000, 70), rng.integers(0, 4, 70)
    on_device = strict.asarray(values)
    assert device.repeat(on_device, strict.asarray(sizes)).get().tolist() == np.repeat(values, sizes).tolist()
    assert device.running_max(on_device).get().tolist() == np.maximum.accumulate(values).tolist()
    other = rng.integers(0, 3, 70)
    order = device.order_by(strict.asarray(other), strict.asarray(values * 1000)).get()
    assert order.tolist() == np.lexsort((values, other)).tolist()


def test_the_stand_in_refuses_what_a_device_refuses() -> None:
    array = StrictModule().asarray(np.arange(3))
    for refused in (
        lambda: np.arange(3) + array,
        lambda: array + np.arange(3),
        lambda: np.arange(3)[array],
        lambda: np.cumsum(array),
        lambda: list(array),
        lambda: pa.array(array),
    ):
        with pytest.raises((TypeError, IndexError, pa.ArrowInvalid)):
            refused()
    with pytest.raises(AttributeError, match="not among"):
        StrictModule().lexsort(np.arange(3))
    assert isinstance(array[1:] * 2, StrictArray)


def test_without_cudf_the_arrays_are_numpys() -> None:
    device.arrays.cache_clear()
    assert device.arrays() is np


@pytest.mark.parametrize(("library", "expected"), [("cudf", "cupy"), ("pandas", "numpy")])
def test_the_arrays_are_cupys_where_merlin_works_on_cudf(
    library: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch = types.ModuleType("merlin.core.dispatch")
    monkeypatch.setattr(dispatch, "get_lib", lambda: types.ModuleType(library), raising=False)
    for name, module in (("merlin.core.dispatch", dispatch), ("cupy", types.ModuleType("cupy"))):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    device.arrays.cache_clear()
    try:
        assert device.arrays().__name__ == expected
    finally:
        device.arrays.cache_clear()
