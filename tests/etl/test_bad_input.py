"""What bad input gets: an error that names the file and what to do, or rows that count and say why they are unreadable.

Never a stack trace, a silent drop, or output that a later stage would take for whole.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from contracts import artifacts
from contracts.config import load
from contracts.errors import TriremeError
from etl import check, source
from tests.etl import shop

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


def parquet(folder: Path) -> bytes:
    """The shop's log as Parquet, at ``events.parquet``; the configuration then names that."""
    file = folder / "events.parquet"
    pq.write_table(csv.read_csv(folder / "events.csv"), file)
    renamed(folder, "events.parquet")
    return file.read_bytes()


def renamed(folder: Path, name: str) -> None:
    path = folder / "shop.toml"
    path.write_text(path.read_text().replace("events.csv", name))


def as_parquet(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        whole = parquet(folder)
        (folder / "events.parquet").write_bytes(content(whole))

    return change


def as_csv(content: bytes, name: str = "events.csv") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)
        renamed(folder, name)

    return change


def folder_instead(folder: Path) -> None:
    (folder / "logs").mkdir()
    renamed(folder, "logs")


def nested(folder: Path) -> None:
    table = csv.read_csv(folder / "events.csv")
    table = table.set_column(1, "what", pa.array([["i1", "i2"]] * table.num_rows))
    pq.write_table(table, folder / "events.parquet")
    renamed(folder, "events.parquet")


def lacking_in_one_file(folder: Path) -> None:
    table = csv.read_csv(folder / "events.csv")
    pq.write_table(table, folder / "log-1.parquet")
    pq.write_table(table.drop(["price"]), folder / "log-2.parquet")
    renamed(folder, "log-*.parquet")


#: name: (what is done to the shop's files, words that the error must have)
REFUSED: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a truncated parquet": (
        as_parquet(lambda whole: whole[:-200]),
        ("events.parquet", "cannot be read", "is it whole"),
    ),
    "half a parquet": (as_parquet(lambda whole: whole[: len(whole) // 2]), ("events.parquet", "cannot be read")),
    "a picture named parquet": (as_parquet(lambda _: PNG), ("events.parquet", "cannot be read", "what its name says")),
    "a picture named csv": (as_csv(PNG), ("events.csv", "no line of column names", "is it CSV")),
    "an empty csv": (as_csv(b""), ("events.csv", "is empty", "expected a line of column names")),
    "an empty parquet": (as_parquet(lambda _: b""), ("events.parquet", "cannot be read")),
    "an empty jsonl": (as_csv(b"", "events.jsonl"), ("events.jsonl", "has no rows")),
    "a csv with a wrong header": (as_csv(b"a,b,c\n1,2,3\n"), ("no column 'who'", "it has a, b, c")),
    "a csv without a header": (as_csv(b"u1,i1,1577836800000,purchase,1,1\n"), ("no column 'who'", "it has u1, i1")),
    "a truncated gz": (
        as_csv(gzip.compress(shop.events().encode())[:-300], "events.csv.gz"),
        ("events.csv.gz", "cannot be read"),
    ),
    "no gz at all": (as_csv(b"who,what\n", "events.csv.gz"), ("events.csv.gz", "cannot be read")),
    "a directory that is not there": (
        lambda folder: renamed(folder, "nowhere/log-*.csv"),
        ("nowhere/log-*.csv", "no such file", "correct the url"),
    ),
    "a directory for a file": (folder_instead, ("logs is a folder", "logs/*.parquet")),
    "a kind that nobody reads": (as_csv(b"x", "events.xlsx"), ("events.xlsx", "expected a name with .parquet, .csv")),
    "a scheme that nobody knows": (
        lambda folder: (folder / "shop.toml").write_text(
            (folder / "shop.toml").read_text().replace(f"{folder}/events.csv", "nope://bucket/events.csv")
        ),
        ("nope://bucket/events.csv", "cannot be read"),
    ),
    "lists in a column": (nested, ("'what'", "list<", "expected plain values")),
    "files of one table with other columns": (
        lacking_in_one_file,
        ("source.events.columns.value", "log-2.parquet has no column 'price'"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    change, words = REFUSED[name]
    path = shop.write(tmp_path)
    change(tmp_path)
    with pytest.raises(TriremeError) as caught:
        check.run(path)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


#: name: (lines put after the header, what is said of each)
LINES: dict[str, tuple[list[bytes], list[str]]] = {
    "ragged": ([b"u1,i1", b"u1,i1,1,2,3,4,5"], ["has 2 values, not 6", "has 7 values, not 6"]),
    "not UTF-8": ([b"u\xff,i1,1577836800000,purchase,1,1"], ["is not utf-8"]),
    "an open quote": ([b'"u1,i1,1577836800000,purchase,1,1'], ["leaves a quote open"]),
    "letters of a picture": ([PNG.replace(b"\n", b"")], ["is not utf-8"]),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_cannot_be_read_is_a_row_that_says_why(tmp_path: Path, name: str) -> None:
    lines, reasons = LINES[name]
    shop.write(tmp_path)
    file = tmp_path / "events.csv"
    good = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([good[0], *lines, *good[1:]]))
    config = load(tmp_path / "shop.toml")
    table = config.source.events
    parts = [source.read(piece, ["who", "when"]) for piece in source.pieces(table.url, 50, table)]
    said = [text for part in parts for text in part[source.UNREADABLE].to_pylist()]
    assert len(said) == len(lines) + len(good) - 1
    assert [text is not None for text in said] == [True] * len(lines) + [False] * (len(good) - 1)
    assert all(reason in (text or "") for reason, text in zip(reasons, said))


def test_files_of_one_table_may_write_a_column_in_other_types(tmp_path: Path) -> None:
    for number, values in enumerate((pa.array([1, 2]), pa.array(["3", None]), pa.array([4.5, 5.0]))):
        pq.write_table(pa.table({"x": values}), tmp_path / f"part-{number}.parquet")
    found = source.read_all(str(tmp_path / "part-*.parquet"), ["x"])
    assert found["x"].to_pylist() == ["1", "2", "3", None, "4.5", "5"]


def etl_run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "etl", "run", str(folder / "shop.toml")],
        cwd=ROOT,
        env={**os.environ, "TRIREME_ROOT": str(folder / "root"), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_log_with_bad_lines_runs_to_the_end_and_loses_no_row(tmp_path: Path) -> None:
    """An empty day, an empty file, ragged and undecodable lines and 10 MB in a cell, in a glob of text files."""
    path = shop.write(tmp_path)
    lines = (tmp_path / "events.csv").read_bytes().splitlines()
    bad = [line for lines, _ in LINES.values() for line in lines]
    bad.append(b"u1," + b"x" * 10_000_000 + b",1577836800000,purchase,1,1")
    (tmp_path / "log-1.csv").write_bytes(b"\n".join(lines[:300]))
    (tmp_path / "log-2.csv").write_bytes(lines[0] + b"\n")
    (tmp_path / "log-3.csv.gz").write_bytes(gzip.compress(b"\n".join([lines[0], *bad, *lines[300:]])))
    renamed(tmp_path, "log-*.csv*")
    done = etl_run(tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["quarantined"] == len(bad)
    assert figures["events"] == len(lines) - 1
    zone = artifacts.zones(str(tmp_path / "root"), load(path))
    refused = pq.read_table(f"{zone.quarantine}/refused")
    assert refused.num_rows == len(bad)
    said = [text for text in refused["unreadable"].to_pylist() if text]
    assert len(said) == len(bad) - 1 and all(text.startswith("row ") for text in said)


def test_a_run_over_a_broken_file_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    shop.write(tmp_path)
    as_parquet(lambda whole: whole[:-200])(tmp_path)
    done = etl_run(tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "events.parquet" in done.stderr and "is it whole" in done.stderr
    assert not (tmp_path / "root").exists()
