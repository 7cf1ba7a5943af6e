"""The summary of event rows: exact where it says so, within its stated error elsewhere, and the same however merged."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import ingest, sketch, summary
from tests import strategies


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Event rows that may lack anything."""
    rows = draw(st.lists(strategies.raw_events(), max_size=40))
    for row in rows:
        row.pop("attributes", None)
        if row.get("value"):
            row["value"] *= draw(st.sampled_from([-1.0, 1.0]))
    return pa.Table.from_pylist([{"unreadable": None, **row} for row in rows], schema=ingest.SCHEMA)


def rows_of(seed: int, rows: int, users: int = 5_000) -> pa.Table:
    """Rows with skewed users and items, amounts over six decades, some of everything missing."""
    rng = np.random.default_rng(seed)
    user = np.minimum(rng.zipf(1.3, rows), users)
    frame = pd.DataFrame(
        {
            "event_id": [f"e{seed}-{i}" for i in range(rows)],
            "event_type": rng.choice(["view", "click", "purchase"], rows, p=[0.6, 0.3, 0.1]),
            "event_time": strategies.NOW_MS + rng.integers(0, 86_400_000, rows),
            "user_id": np.char.add("u", user.astype(str)).astype(object),
            "item_id": np.char.add("i", rng.integers(0, 20_000, rows).astype(str)).astype(object),
            "region": np.where(rng.random(rows) < 0.2, None, rng.choice(["north", "south"], rows)),
            "value": np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(2, 3, rows)),
            "quantity": pd.array(rng.integers(0, 4, rows), dtype="Int32"),
        }
    )
    made = pa.Table.from_pandas(frame, preserve_index=False)
    columns = [
        made.column(field.name).cast(field.type) if field.name in made.column_names else pa.nulls(rows, field.type)
        for field in ingest.SCHEMA
    ]
    return pa.table(columns, schema=ingest.SCHEMA)


def near(a: float, b: float, tolerance: float = 1e-9) -> bool:
    return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)


def comparable(document: dict[str, Any]) -> Any:
    """A summary as JSON gives it back, its sums (whose last digits depend on the order) rounded."""
    document = json.loads(json.dumps(document, allow_nan=False))
    for name in summary.NUMBERS:
        for key in ("sum", "squares"):
            document["fields"][name][key] = float(f"{document['fields'][name][key]:.9g}")
    return document


@settings(max_examples=60, deadline=None)
@given(st.lists(tables(), min_size=1, max_size=4), st.integers(0, 3))
def test_however_the_rows_are_cut_and_merged_the_summary_is_that_of_the_whole(parts: list[pa.Table], turn: int) -> None:
    whole = comparable(summary.summarise(pa.concat_tables(parts)))
    each = [summary.summarise(part) for part in parts]
    turned = each[turn % len(each) :] + each[: turn % len(each)]
    one_by_one = summary.merged([])
    for part in turned:
        one_by_one = summary.merge(part, one_by_one)
    for merged in (summary.merged(each), summary.merged(turned), one_by_one):
        assert comparable(merged) == whole


@settings(max_examples=60, deadline=None)
@given(tables())
def test_counts_are_those_of_pandas_to_the_row(rows: pa.Table) -> None:
    frame, held = rows.to_pandas(), summary.summarise(rows)
    assert held["rows"] == held["sampled"] == len(frame)
    hours = (frame["event_time"].dropna() // 3_600_000 % 24).astype(int)
    assert held["hours"] == np.bincount(hours, minlength=24).tolist()
    for name, field in held["fields"].items():
        assert field["nulls"] == frame[name].isna().sum()
        there = frame[name].dropna()
        if name in summary.FEW:
            assert (field["counts"], field["other"]) == (dict(Counter(there)), 0)
        elif name in summary.IDS:
            assert (field["top"], field["missed"]) == (dict(Counter(there)), 0)
            assert sketch.distinct(field["smallest"]) == there.nunique()
        elif name in summary.NUMBERS and len(there):
            assert (field["count"], field["min"], field["max"]) == (len(there), there.min(), there.max())
            assert near(field["sum"], there.sum()) and near(field["squares"], (there.astype(float) ** 2).sum())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300) | st.integers(-50, 50).map(float), min_size=1, max_size=60))
def test_a_quantile_is_off_by_its_relative_error_at_most(values: list[float]) -> None:
    half = len(values) // 2
    parts = [sketch.bins(np.array(part, float), 1) for part in (values[:half], values[half:])]
    held = sketch.merged_bins(parts)
    shares = (0.0, *summary.QUANTILES, 1.0)
    told = sketch.quantiles(held, shares, min(values), max(values))
    for share, got in zip(shares, told):
        true = float(np.quantile(values, share, method="lower"))
        assert abs(got - true) <= sketch.RELATIVE_ERROR * abs(true) + sketch.SMALLEST


def test_a_large_table_is_sampled_and_says_so_while_its_counts_stay_exact() -> None:
    rows = rows_of(1, 5 * summary.SAMPLE + 1)
    rows = pa.concat_tables([rows.slice(0, 7), rows.slice(7, 30_000), rows.slice(30_007)])
    frame, held = rows.to_pandas(), summary.summarise(rows)
    told = summary.figures(held)
    assert held["rows"] == len(frame) and held["sampled"] == -(-len(frame) // 6) <= summary.SAMPLE
    assert held["fields"]["event_type"]["counts"] == frame["event_type"].value_counts().to_dict()
    assert held["fields"]["region"]["nulls"] == frame["region"].isna().sum()
    value = told["fields"]["value"]
    assert near(value["mean"], frame["value"].mean()) and near(value["std"], frame["value"].std(ddof=0), 1e-6)
    for share in (0.25, 0.5, 0.75):
        # Of 8,300 rows a quantile strays by some .5 % of rank: 4 % of a value whose logarithm has a deviation of 3.
        assert near(value["quantiles"][str(share)], frame["value"].quantile(share), 0.1)
    user = told["fields"]["user_id"]
    first = frame["user_id"].value_counts()
    assert user["top"][0][0] == first.index[0] and near(user["top"][0][1], first.iloc[0], 0.05)
    assert user["at_least"] and 0 < user["distinct"] <= 1.1 * frame["user_id"].nunique()


def test_a_large_and_a_small_table_weigh_by_their_rows() -> None:
    """A row of the large one stands for many, or the small one would decide the median."""
    large = rows_of(2, 4 * summary.SAMPLE)
    small = large.slice(0, summary.SAMPLE)
    values = pa.array(np.full(len(small), 1e6))
    small = small.set_column(small.schema.get_field_index("value"), "value", values)
    told = summary.figures(summary.merge(summary.summarise(large), summary.summarise(small)))
    true = pa.concat_tables([large, small]).to_pandas()["value"].quantile(0.5)
    assert near(told["fields"]["value"]["quantiles"]["0.5"], true, 0.1)


@pytest.mark.parametrize("known", [10, 1_000, 200_000])
def test_distinct_values_of_many_days_are_counted_once(known: int) -> None:
    ids = np.array([f"id-{i}" for i in range(known)], object)
    parts = np.array_split(np.concatenate([ids, ids[::2]]), 4)
    told = sketch.distinct(sketch.merged_hashes(sketch.smallest_hashes(pa.chunked_array([part])) for part in parts))
    # Four standard errors.
    assert told == known if known < sketch.KEPT_HASHES else near(told, known, 4 / math.sqrt(sketch.KEPT_HASHES - 2))


def test_a_frequent_value_is_undercounted_by_no_more_than_what_the_sketch_admits() -> None:
    days = [rows_of(seed, 3_000) for seed in range(6)]
    true = Counter(pa.concat_tables(days).column("user_id").to_pylist())
    held = summary.merged([summary.summarise(day) for day in days])["fields"]["user_id"]
    assert len(held["top"]) == sketch.TOP and 0 < held["missed"] < len(days) * 10
    for value, count in true.items():
        assert held["top"].get(value, 0) <= count <= held["top"].get(value, 0) + held["missed"]
    assert [*held["top"]][:5] == [value for value, _ in true.most_common(5)]


def test_more_values_than_are_listed_count_as_others() -> None:
    regions = [f"r{i:03d}" for i in range(summary.MOST_VALUES + 50)]
    rows = pa.table({"region": [*regions, *regions[:7]]})
    for held in (
        summary.summarise(rows),
        summary.merge(summary.summarise(rows.slice(0, 100)), summary.summarise(rows)),
    ):
        field = held["fields"]["region"]
        assert len(field["counts"]) == summary.MOST_VALUES
        assert sum(field["counts"].values()) + field["other"] == held["rows"]
    assert summary.figures(held)["fields"]["region"]["at_least"]


def test_what_is_no_number_and_what_no_double_can_hold_still_makes_a_document() -> None:
    values = [math.nan, math.inf, -math.inf, 1.7e308, 1.7e308, 5e-324, 0.0, -1.0]
    held = summary.summarise(pa.table({"value": values, "user_id": ["x" * 500] * 8}))
    field = held["fields"]["value"]
    assert (field["strange"], field["count"], field["min"], field["max"]) == (3, 5, -1.0, 1.7e308)
    told = summary.figures(summary.merge(held, held))
    json.dumps([held, told], allow_nan=False)
    assert told["fields"]["user_id"]["top"] == [["x" * 128, 16]]


def test_no_rows_make_a_summary_like_any_other() -> None:
    empty = summary.summarise(ingest.SCHEMA.empty_table())
    assert empty == summary.summarise(pa.table({})) == summary.merged([])
    some = summary.summarise(rows_of(3, 50))
    assert comparable(summary.merge(empty, some)) == comparable(some)
    assert summary.figures(empty)["fields"]["value"] == {"null_rate": 0.0}


def test_a_slim_summary_merges_and_knows_nothing_of_ids() -> None:
    full = summary.summarise(rows_of(4, 2_000))
    slim = summary.slim(full)
    assert len(json.dumps(slim)) < len(json.dumps(full)) / 2
    both = summary.merge(slim, full)
    assert both["rows"] == 4_000 and both["fields"]["user_id"] == {"nulls": 0}
    assert summary.figures(both)["fields"]["user_id"] == {"null_rate": 0.0}
