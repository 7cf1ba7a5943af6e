"""Text files by piece: each row in exactly one, whatever it holds, and what cannot be read keeps its place."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Table
from contracts.errors import ArtifactError
from etl import records, source
from etl.source import UNREADABLE


def read(path: Path, names: list[str], rows: int = 3, **writing: Any) -> tuple[list[tuple[Any, ...]], list[str | None]]:
    """All rows of a file, read in pieces, and what is said of each."""
    table = Table(str(path), {}, **writing)
    parts = [source.read(piece, names) for piece in source.pieces(str(path), rows, table)]
    found = [row for part in parts for row in zip(*(part[name].to_pylist() for name in names))]
    return found, [reason for part in parts for reason in part[UNREADABLE].to_pylist()]


def test_an_id_stays_the_text_that_it_is_in_every_piece(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("item,n\n007,1\n7,2\n1e3,3\nabc,4\n2020-01-01,5\n")
    found, reasons = read(tmp_path / "log.csv", ["item"], rows=2)
    assert found == [("007",), ("7",), ("1e3",), ("abc",), ("2020-01-01",)] and reasons == [None] * 5


values = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)


@given(
    st.lists(st.tuples(values, values), max_size=12),
    st.integers(1, 5),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_csv_writer_wrote_is_read_back_in_pieces_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], size: int, end: str, quoting: Any
) -> None:
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=quoting).writerows([("a", "b"), *rows])
    path.write_bytes(text.getvalue().encode())
    found, reasons = read(path, ["b", "a"], size)
    assert found == [(b or None, a or None) for a, b in rows] and not any(reasons)


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_compressed_file_is_the_same_table(tmp_path: Path, kind: str, suffix: str) -> None:
    rows = [(f"u{i}", i) for i in range(2_000)]
    if kind == "jsonl":
        text = "".join(json.dumps({"who": who, "n": str(n)}) + "\n" for who, n in rows)
    else:
        comma = "," if kind == "csv" else "\t"
        text = f"who{comma}n\n" + "".join(f"{who}{comma}{n}\n" for who, n in rows)
    path = tmp_path / f"log.{kind}{suffix}"
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": lambda b: pa.compress(b, "zstd", True)}
    path.write_bytes(pack[suffix](text.encode()))
    expected = [(who, str(n)) for who, n in rows]
    assert read(path, ["who", "n"], 300)[0] == expected
    table = Table(str(path), {})
    backwards = [source.read(piece, ["who"]) for piece in reversed(source.pieces(str(path), 300, table))]
    assert pa.concat_tables(reversed(backwards))["who"].to_pylist() == [who for who, _ in rows]


def test_a_rewritten_compressed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    for letter in "ab":
        path.write_bytes(gzip.compress(f"x\n{letter}1\n{letter}2\n".encode()))
        pieces = source.pieces(str(path), 1)
        assert source.read(pieces[0], ["x"])["x"].to_pylist() == [f"{letter}1"]


def test_a_file_in_memory_is_read_by_its_url() -> None:
    import fsspec

    with fsspec.open("memory://shop/log.csv", "wb") as stream:
        stream.write(b"who\na\nb\n")
    pieces = source.pieces("memory://shop/*.csv", 1)
    assert [source.read(piece, ["who"])["who"].to_pylist() for piece in pieces] == [["a"], ["b"]]


def test_how_a_csv_is_written_is_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes("1|'caf\xe9|x'|NA\n2|it''s|3\n".encode("latin-1"))
    writing = {"separator": "|", "quote": "'", "encoding": "latin-1", "header": ("a", "b", "c"), "nulls": ("NA",)}
    assert read(path, ["a", "b", "c"], **writing)[0] == [("1", "café|x", None), ("2", "it''s", "3")]
    path.write_text('a,b\n1,"two\nlines"\n2,x\n')
    assert read(path, ["a", "b"], rows=1, quoted_newlines=True)[0] == [("1", "two\nlines"), ("2", "x")]
    path.write_text('a,b\n1,5" pipe\n2,"x\n')
    assert read(path, ["a", "b"], quote="")[0] == [("1", '5" pipe'), ("2", '"x')]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_belongs_to_no_name_and_blank_lines_are_no_rows(tmp_path: Path, end: str) -> None:
    text = end.join(["who,n", "", "a,1", "", "", "b,2", "", ""])
    (tmp_path / "log.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert source.columns(str(tmp_path / "log.csv")) == ["who", "n"]
    for rows in (1, 5):
        assert read(tmp_path / "log.csv", ["who", "n"], rows) == ([("a", "1"), ("b", "2")], [None, None])


BROKEN_LINES: dict[str, tuple[bytes, str]] = {
    "too few values": (b"u9", "row 2 has 1 values, not 2: 'u9'"),
    "too many values": (b"u9,1,2", "row 2 has 3 values, not 2: 'u9,1,2'"),
    "no UTF-8": (b"u\xff,1", "row 2 is not utf-8: 'u�,1'"),
    "a quote that opens in mid-line and does not end": (b'u"9,"1', "row 2 leaves a quote open: 'u\"9,\"1'"),
    "a quote that does not end": (b'u9,"1', "row 2 leaves a quote open: 'u9,\"1'"),
}


@pytest.mark.parametrize("what", BROKEN_LINES)
@pytest.mark.parametrize("rows", [1, 2, 10])
def test_a_line_that_cannot_be_read_keeps_its_place_and_harms_no_neighbour(
    tmp_path: Path, what: str, rows: int
) -> None:
    line, why = BROKEN_LINES[what]
    (tmp_path / "log.csv").write_bytes(b"who,n\na,1\n" + line + b"\n\nb,2\nc,3")
    found, reasons = read(tmp_path / "log.csv", ["who", "n"], rows)
    assert found == [("a", "1"), (None, None), ("b", "2"), ("c", "3")]
    assert reasons == [None, why, None, None]


def test_quotes_within_values_harm_nobody(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('who,n\n5" pipe and 6" pipe,1\n"a ""b"" c",2\n5" pipe,3\nx","y\nb,4\nc,4,5\n"",""\n"d"e,6')
    found, reasons = read(path, ["who", "n"], rows=10)
    whole = [('5" pipe and 6" pipe', "1"), ('a "b" c', "2"), ('5" pipe', "3")]
    assert found == [*whole, (None, None), ("b", "4"), (None, None), (None, None), ("de", "6")]
    assert [reason and reason.partition(":")[0] for reason in reasons] == [
        *[None] * 3,
        "row 4 leaves a quote open",
        None,
        "row 6 has 3 values, not 2",
        *[None] * 2,
    ]


def test_a_letter_that_the_encoding_lacks_spoils_its_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"who,n\ncaf\xe9,1\n\x81,2\n")
    assert read(path, ["who"], encoding="cp1252")[0] == [("café",), (None,)]
    assert read(path, ["who"], encoding="ascii")[1] == ["row 1 is not ascii: 'caf�,1'", "row 2 is not ascii: '�,2'"]


def test_json_lines_that_cannot_be_read_keep_their_place(tmp_path: Path) -> None:
    lines = [b'{"who": "a", "n": 1}', b'{"who": ', b"[1]", b'{"who": "\xff"}', b'{"n": 12345678901234567890}', b"{}"]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    found, reasons = read(tmp_path / "log.jsonl", ["who", "n"], rows=10)
    assert found == [("a", "1"), (None,) * 2, (None,) * 2, (None,) * 2, (None, "12345678901234567890"), (None, None)]
    assert [reason and reason[: reason.index(":")] for reason in reasons] == [
        None,
        "row 2 is no JSON",
        "row 3 is no object",
        "row 4 is not utf-8",
        None,
        None,
    ]


def test_json_keeps_text_that_looks_like_a_time_and_gives_objects_as_maps(tmp_path: Path) -> None:
    rows = [{"id": "2020-01-01", "new": {"colour": "red", "size": 3, "gone": None}}, {"id": "2020-01-02"}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, _ = read(tmp_path / "log.jsonl", ["id", "new"])
    assert found == [("2020-01-01", [("colour", "red"), ("size", "3")]), ("2020-01-02", None)]
    assert read(tmp_path / "log.jsonl", ["id"])[0] == [("2020-01-01",), ("2020-01-02",)]


def test_ten_megabytes_in_one_cell_are_one_row(tmp_path: Path) -> None:
    large = "x" * 10_000_000
    (tmp_path / "log.csv").write_text(f"who,n\na,1\n{large},2\nb,3\n")
    found, reasons = read(tmp_path / "log.csv", ["who", "n"], rows=2)
    assert [who for who, _ in found] == ["a", large, "b"] and reasons == [None] * 3


def test_text_in_parquet_that_is_none_spoils_its_row_only(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    bad = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers())
    pq.write_table(pa.table({"who": bad, "n": [1, 2, 3]}), tmp_path / "log.parquet")
    found, reasons = read(tmp_path / "log.parquet", ["who", "n"])
    assert found == [("a", 1), (None, 2), ("c", 3)]
    assert reasons == [None, "row 2 is not utf-8 in 'who'", None]


def test_columns_of_categories_large_text_and_bytes_are_plain_text(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    columns = {
        "category": pa.array(["a", "b"]).dictionary_encode(),
        "large": pa.array(["a", "b"], pa.large_string()),
        "bytes": pa.array([b"a", b"b"]),
    }
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    found = source.read(source.pieces(str(tmp_path / "log.parquet"), 9)[0], [*columns])
    assert all(found[name].type == pa.string() and found[name].to_pylist() == ["a", "b"] for name in columns)


def test_a_piece_holds_no_more_than_its_bytes_and_a_long_record_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 64)
    monkeypatch.setattr(records, "PIECE_BYTES", 256)
    frame = pd.DataFrame({"who": [f"user-{i}" for i in range(500)], "n": np.arange(500)})
    frame.to_csv(tmp_path / "log.csv", index=False)
    pieces = source.pieces(str(tmp_path / "log.csv"), 10_000)
    assert max(piece.end - piece.begin for piece in pieces) <= 256 + 20 and len(pieces) > 20
    read = pa.concat_tables([source.read(piece, ["who"]) for piece in pieces])
    assert read["who"].to_pylist() == frame["who"].tolist()
    monkeypatch.setattr(records, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(records, "RECORD_BYTES", 100_000)
    (tmp_path / "open.csv").write_text('who,n\na,"1\n' + "b,2\n" * 50_000)
    with pytest.raises(ArtifactError, match=r"row 1 is longer than .*; a quote is never closed"):
        source.pieces(str(tmp_path / "open.csv"), 10, Table("", {}, quoted_newlines=True))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """100 MiB of text in pieces of 2 MiB: a peak of some tens of MiB over what the process has."""
    line = b"u123456,i654321,2020-01-01T00:00:00," + b"x" * 164 + b"\n"
    with (tmp_path / "log.csv").open("wb") as stream:
        stream.write(b"who,what,when,note\n")
        for _ in range(50):
            stream.write(line * 10_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pieces = source.pieces(str(tmp_path / "log.csv"), 10_000)
    assert sum(source.read(piece, ["who", "when"]).num_rows for piece in pieces) == 500_000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 90
