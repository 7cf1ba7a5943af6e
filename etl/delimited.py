"""CSV and TSV as text columns, by piece: a row that cannot be read survives as nulls, with the reason.

Every value stays the text that it is, so that ``007`` is the same id in every piece; what a column means is decided by
the field that it is mapped to.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from contracts.config import Table
from contracts.errors import ArtifactError, shown
from etl import records

_FIRST_BYTES = 1 << 16


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
    lost: dict[int, str] = {}
    if table.encoding.lower() not in ("utf-8", "utf8"):
        data = data.decode(table.encoding, errors="replace").encode()
    starts, ends = records.rows(data, newline_quote(table))
    for number in records.undecodable(data, starts, ends):
        lost[int(number)] = f"is not {table.encoding}"
    if table.quote and not table.quoted_newlines:
        for number in records.unpaired(data, starts, ends, ord(table.quote)):
            lost.setdefault(int(number), "holds a quote without its pair")
    good = np.delete(np.arange(len(starts)), [*lost])
    kept = data if not lost else b"".join(data[starts[i] : ends[i]] for i in good)
    uneven: list[tuple[int, str]] = []

    def skip(bad: csv.InvalidRow) -> str:
        uneven.append((bad.number - 1, f"has {bad.actual_columns} values, not {bad.expected_columns}"))
        return "skip"

    found = _strings(kept, file, table, columns, names, skip)
    for place, why in uneven:
        lost[int(good[place])] = why
    good = np.delete(np.arange(len(starts)), [*lost])
    place = np.full(len(starts), -1)
    place[good] = np.arange(len(good))
    if len(good) != found.num_rows:
        raise ArtifactError(
            f"{file}: rows {row + 1} to {row + len(starts)} do not part into lines; if its values hold line breaks, "
            "set quoted_newlines = true"
        )
    reasons = np.full(len(starts), None, object)
    for number, why in lost.items():
        text = data[starts[number] : ends[number]][:64].decode(errors="replace").strip()
        reasons[number] = f"row {row + number + 1} {why}: {shown(text)}"
    return found.take(pa.array(place, mask=place < 0)) if lost else found, reasons


def _strings(
    data: bytes,
    file: str,
    table: Table,
    columns: Sequence[str],
    names: Sequence[str],
    skip: Callable[[csv.InvalidRow], str],
) -> pa.Table:
    if not data:
        return pa.table({name: pa.array([], pa.string()) for name in names})
    return csv.read_csv(
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


def _parse_options(file: str, table: Table, skip: Callable[[csv.InvalidRow], str] | None = None) -> csv.ParseOptions:
    return csv.ParseOptions(
        delimiter=separator(file, table),
        quote_char=table.quote or False,
        newlines_in_values=table.quoted_newlines,
        invalid_row_handler=skip,
    )
