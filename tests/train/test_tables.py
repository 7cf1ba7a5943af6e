"""Reading through cuDF, with a stand-in that does with Arrow what cuDF does on a GPU."""

import types

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from train import tables


class Frame:
    """As much of cuDF's DataFrame as is used: lists and numbers, and text never as a dictionary."""

    def __init__(self, table):
        self._table = table

    def to_arrow(self, preserve_index):
        assert preserve_index is False
        place = self._table.column_names.index("name")
        return self._table.set_column(place, "name", self._table["name"].cast(pa.string()))


@pytest.fixture
def asked(monkeypatch):
    """Which columns cuDF was asked for, each time."""
    calls = []

    def read_parquet(files, columns):
        calls.append(sorted(columns))
        return Frame(pa.concat_tables(pq.read_table(file, columns=columns) for file in files))

    monkeypatch.setattr(tables, "_cudf", lambda: types.SimpleNamespace(read_parquet=read_parquet))
    return calls


@pytest.fixture
def folder(tmp_path):
    for part, start in (("a", 0), ("b", 3)):
        numbers = range(start, start + 3)
        table = {
            "row_id": list(numbers),
            "codes": [list(range(n)) for n in numbers],
            "name": pa.array([f"n{n % 2}" for n in numbers]).dictionary_encode(),
            "time": pa.array(numbers, pa.int64()),
            "other": [0.5] * 3,
        }
        pq.write_table(pa.table(table), tmp_path / f"{part}.parquet")
    return str(tmp_path)


def test_a_gpu_reads_the_same_table_as_a_cpu(folder, asked, monkeypatch):
    where = (ds.field("time") >= 2) & ds.field("name").isin(["n0"])
    for chosen in (None, where):
        through = tables.read(folder, ["codes", "row_id", "name"], chosen)
        with monkeypatch.context() as patch:
            patch.setattr(tables, "_cudf", lambda: None)
            assert through == tables.read(folder, ["codes", "row_id", "name"], chosen).cast(through.schema)
    # What is filtered by is read as well, and nothing else is.
    assert asked == [["codes", "name", "row_id"], ["codes", "name", "row_id", "time"]]


def test_without_cudf_nobody_asks_merlin_for_it():
    assert tables._cudf() is None
