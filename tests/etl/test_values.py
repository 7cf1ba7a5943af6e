"""Values of any type as a field's: what cannot be read is told from what is not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.values import cast, renamed, to_ms

NOON_MS = 1_496_318_400_000
UNITS = {"s": 1e-3, "ms": 1, "us": 1_000, "ns": 1_000_000}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["whole", "text", "fraction"])
def test_a_number_is_a_time_in_its_unit(unit: str, kind: str) -> None:
    number = int(NOON_MS * UNITS[unit])
    values = {"whole": pa.array([number, None]), "text": pa.array([str(number), None])}
    values["fraction"] = pa.array([float(number), float("nan")])
    found, failed = to_ms(values[kind], unit)
    assert found.to_pylist() == [NOON_MS, None] and not failed.any()


@given(st.lists(st.integers(0, 2**42), min_size=1, max_size=5), st.sampled_from(["ms", "us", "ns"]))
def test_whole_numbers_keep_every_digit(times: list[int], unit: str) -> None:
    numbers = [int(time * UNITS[unit]) + (0 if unit == "ms" else 999) for time in times]
    assert to_ms(pa.array(numbers), unit)[0].to_pylist() == times
    assert to_ms(pa.array(map(str, numbers)), unit)[0].to_pylist() == times


def test_seconds_may_have_a_fraction_and_what_is_no_number_is_named() -> None:
    found, failed = to_ms(pa.array(["1496318400.25", "soon", None, "9e99", ""]), "s")
    assert found.to_pylist() == [NOON_MS + 250, None, None, None, None]
    assert failed.tolist() == [False, True, False, True, False]
    assert to_ms(pa.array([1e300, float("inf")]), "s")[1].all()


def test_written_times_and_counted_ones_may_stand_in_one_column() -> None:
    found, failed = to_ms(pa.array(["2017-06-01 12:00:00", "1496318400", "2017-06-01T14:00+02:00", "x"]), "s")
    assert found.to_pylist() == [NOON_MS, NOON_MS, NOON_MS, None] and failed.tolist() == [False] * 3 + [True]


def test_a_word_is_renamed_where_the_map_has_it() -> None:
    assert renamed(pa.array(["buy", "pv", None]), {"buy": "purchase"}).to_pylist() == ["purchase", "pv", None]


@pytest.mark.parametrize(
    ("values", "kind", "found", "failed"),
    [
        (["1", "x", ""], pa.int32(), [1, None, None], [False, True, False]),
        (["1", str(2**40)], pa.int32(), [1, None], [False, True]),
        ([True, None], pa.string(), ["true", None], [False, False]),
        ([1.5, 2.0], pa.int64(), [None, 2], [True, False]),
        (pd.to_datetime(["2020-01-01"]), pa.float64(), [None], [True]),
    ],
)
def test_a_cast_names_what_it_cannot_read(
    values: list[object], kind: pa.DataType, found: list[object], failed: list[bool]
) -> None:
    read, bad = cast(pa.array(values), kind)
    assert read.to_pylist() == found and np.asarray(bad).tolist() == failed
