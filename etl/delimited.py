"""CSV and TSV as text columns, by piece: a row that cannot be read survives as nulls, with the reason.

Every value stays the text that it is, so that ``007`` is the same id in every piece; what a column means is decided by
the field that it is mapped to.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Sequence
from csv import Error as LineError
from csv import reader as line_reader

import numpy as np
import pyarrow as pa
from pyarrow import csv

from contracts.config import Table
from contracts.errors import ArtifactError, shown
from etl import records

_FIRST_BYTES = 1 << 16
_NO_LETTER = "\N{REPLACEMENT CHARACTER}".encode()


def separator(file: str, table: Table) -> str:
    """What parts the values of a file."""
    return table.separator or ("\t" if records.plain_name(file).endswith(".tsv") else ",")


def newline_quote(table: Table) -> int | None:
    """The byte within whose pairs a line end belongs to a value; None where every line end ends a row."""
    return ord(table.quote) if table.quoted_newlines else None


def header(file: str, table: Table) -> tuple[list[str], int]:
    """Column names, and the byte where the first row begins.

    Raises:
        ArtifactError: when the file is empty, or its first line is no line of names.
    """
    data, begin = records.first(file, newline_quote(table), _FIRST_BYTES)
    starts, ends = records.rows(data, newline_quote(table))
    if table.header:
        return [*table.header], begin
    if not len(starts):
        raise ArtifactError(f"{file} is empty: expected a line of column names")
    try:
        line = data[starts[0] : ends[0]].decode(table.encoding).encode()
        options = csv.ReadOptions(use_threads=False, block_size=len(line) + 1)
        names = csv.read_csv(io.BytesIO(line), options, _parse_options(file, table)).column_names
    except (UnicodeDecodeError, pa.ArrowInvalid):
        raise ArtifactError(
            f"{file}: its first line is no line of column names; is it CSV, and written in {table.encoding}?"
        ) from None
    return list(names), begin + int(ends[0])


def parse(
    data: bytes, file: str, table: Table, columns: Sequence[str], names: Sequence[str], row: int
) -> tuple[pa.Table, np.ndarray]:
    """Rows of a file as strings, and why a row could not be read (None where it could).

    Args:
        data: whole records.
        file: where they are from.
        table: how they are written.
        columns: all columns of the file, in its order.
        names: those wanted.
        row: number of the first row in the file.
    """
    data = _utf8(data, table)
    starts, ends = records.rows(data, newline_quote(table))
    lost = _spoilt(data, starts, ends, file, table)
    found, lost = _rows(data, starts, ends, lost, file, table, columns, names)
    reasons = np.full(len(starts), None, object)
    for number, why in lost.items():
        text = data[starts[number] : ends[number]][:64].decode(errors="replace").strip()
        reasons[number] = f"row {row + number + 1} {why}: {shown(text)}"
    return found, reasons


def _utf8(data: bytes, table: Table) -> bytes:
    """The bytes in UTF-8; what is no letter of the table's encoding becomes ``_NO_LETTER``."""
    if codecs.lookup(table.encoding).name == "utf-8":
        return data
    return data.decode(table.encoding, errors="replace").encode()


def _spoilt(data: bytes, starts: np.ndarray, ends: np.ndarray, file: str, table: Table) -> dict[int, str]:
    """Numbers of the rows that are no text or leave a quoted value open, and why."""
    found = dict.fromkeys(records.undecodable(data, starts, ends).tolist(), f"is not {table.encoding}")
    if _NO_LETTER in data and codecs.lookup(table.encoding).name != "utf-8":
        rows = (i for i in range(len(starts)) if _NO_LETTER in data[starts[i] : ends[i]])
        found |= dict.fromkeys(rows, f"is not {table.encoding}")
    if table.quote and not table.quoted_newlines:
        comma = separator(file, table)
        for number in records.oddly_quoted(data, starts, ends, ord(table.quote), ord(comma)).tolist():
            line = data[starts[number] : ends[number]].decode(errors="replace")
            if number not in found and not _closes(line, comma, table.quote):
                found[number] = "leaves a quote open"
    return found


def _rows(
    data: bytes,
    starts: np.ndarray,
    ends: np.ndarray,
    lost: dict[int, str],
    file: str,
    table: Table,
    columns: Sequence[str],
    names: Sequence[str],
) -> tuple[pa.Table, dict[int, str]]:
    """All rows, those that are lost as nulls, and ``lost`` with what else turned out to be no row."""
    good = np.delete(np.arange(len(starts)), [*lost])
    kept = data if not lost else b"".join(data[starts[i] : ends[i]] for i in good)
    found, uneven = _strings(kept, file, table, columns, names)
    if found.num_rows + len(uneven) != len(good):
        raise ArtifactError(f"{file}: {len(starts)} lines part into other rows; see to its quotes and line ends")
    lost = {**lost, **{int(good[place]): why for place, why in uneven}}
    if not lost:
        return found, lost
    good = np.delete(np.arange(len(starts)), [*lost])
    place = np.full(len(starts), -1)
    place[good] = np.arange(len(good))
    return found.take(pa.array(place, mask=place < 0)), lost


def _closes(line: str, comma: str, quote: str) -> bool:
    """Whether a line ends every quoted value that it begins: else the next line would go on with it."""
    try:
        return len([*line_reader([line, "next"], delimiter=comma, quotechar=quote)]) > 1
    except LineError:
        return False


def _strings(
    data: bytes,
    file: str,
    table: Table,
    columns: Sequence[str],
    names: Sequence[str],
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """By Arrow: the even rows, and number and fault of the others."""
    uneven: list[tuple[int, str]] = []

    def skip(bad: csv.InvalidRow) -> str:
        uneven.append((bad.number - 1, f"has {bad.actual_columns} values, not {bad.expected_columns}"))
        return "skip"

    if not data:
        return pa.table({name: pa.array([], pa.string()) for name in names}), uneven
    found = csv.read_csv(
        io.BytesIO(data),
        # One block: a line may be longer than any smaller one, and Arrow numbers uneven rows only without threads.
        csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=list(columns)),
        _parse_options(file, table, skip),
        csv.ConvertOptions(
            check_utf8=False,  # seen to by the row
            column_types=dict.fromkeys(names, pa.string()),
            null_values=["", *table.nulls],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            include_columns=list(names),
        ),
    )
    return found, uneven


def _parse_options(file: str, table: Table, skip: Callable[[csv.InvalidRow], str] | None = None) -> csv.ParseOptions:
    return csv.ParseOptions(
        delimiter=separator(file, table),
        quote_char=table.quote or False,
        newlines_in_values=table.quoted_newlines,
        invalid_row_handler=skip,
    )
