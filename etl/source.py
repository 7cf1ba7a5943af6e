"""Source tables of any shape as Arrow tables: where they lie, how many rows they have, and their rows by piece.

A URL is ``package:NAME/PATH`` (a file inside an installed wheel, found without importing it), ``data:PATH`` (below the
folder that ``TRIREME_DATA`` names), ``synthetic:TABLE`` (the seeded generator), or any fsspec URL of Parquet, CSV, TSV
or JSON-lines files (``*`` allowed; text may be compressed). Memory is bounded by a piece. A row that cannot be read is
a row of nulls, and ``UNREADABLE`` says why.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.config import Table
from contracts.errors import ArtifactError
from contracts.stack import data_folder
from etl import delimited, json_lines, records, synthetic
from etl.values import plain

#: The column after those asked for: why the row could not be read, else null.
UNREADABLE = "__unreadable__"
_KINDS = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
_AS_IT_COMES = Table("", {})


class Piece(NamedTuple):
    """Rows ``start`` to ``stop`` of one file: what one task reads.

    ``begin`` and ``end`` are their bytes in a text file, ``columns`` all of its columns, ``table`` how it is written.
    """

    url: str
    file: int
    start: int
    stop: int
    begin: int = 0
    end: int = 0
    columns: tuple[str, ...] = ()
    table: Table = _AS_IT_COMES


def locate(url: str) -> list[str]:
    """The files behind a source URL, sorted; a synthetic table is its own file.

    Raises:
        ArtifactError: when a package or file is not there, or cannot be reached.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "synthetic":
        if rest not in synthetic.TABLES:
            raise ArtifactError(f"{url}: expected one of {', '.join(synthetic.TABLES)} after 'synthetic:'")
        return [url]
    place = url
    if scheme == "package":
        name, _, path = rest.partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise ArtifactError(f"{url}: package {name!r} is not installed; install the extra that brings it")
        place = str(Path(next(iter(spec.submodule_search_locations))) / path)
    elif scheme == "data":
        place = f"{data_folder().rstrip('/')}/{rest}"
    with _faults_of(url):
        filesystem, path = fsspec.core.url_to_fs(place)
        files = sorted(filesystem.glob(path)) if "*" in path else [path] if filesystem.exists(path) else []
        if len(files) == 1 and filesystem.isdir(files[0]):
            raise ArtifactError(f"{url} is a folder: name its files, as in {url.rstrip('/')}/*.parquet")
        if files:
            return [filesystem.unstrip_protocol(file) for file in files]
    hint = f"; data: lies below {data_folder()!r}, which TRIREME_DATA moves" if scheme == "data" else ""
    raise ArtifactError(f"{url}: no such file; correct the url in the configuration{hint}")


def columns(url: str, table: Table = _AS_IT_COMES) -> list[str]:
    """Column names of a source table (of its first file)."""
    return header(locate(url)[0], table)


def header(file: str, table: Table = _AS_IT_COMES) -> list[str]:
    """Column names of one file; of JSON lines, the fields that its first rows have."""
    kind = _kind(file, table)
    with _faults_of(file):
        if kind == "synthetic":
            return list(synthetic.table(file.partition(":")[2]).column_names)
        if kind == "parquet":
            with _parquet(file) as held:
                return list(held.schema_arrow.names)
        return json_lines.header(file)[0] if kind == "json" else delimited.header(file, table)[0]


def pieces(url: str, rows: int, table: Table = _AS_IT_COMES) -> list[Piece]:
    """A source table cut into pieces of at most ``rows`` rows."""
    return [piece for index, file in enumerate(locate(url)) for piece in file_pieces(file, index, rows, table)]


def file_pieces(file: str, index: int, rows: int, table: Table = _AS_IT_COMES) -> list[Piece]:
    """One file cut into pieces; ``index`` is its number among the table's files."""
    kind = _kind(file, table)
    with _faults_of(file):
        if kind in ("synthetic", "parquet"):
            total = _count(file, kind)
            starts = range(0, total, rows)
            return [Piece(file, index, start, min(start + rows, total), table=table) for start in starts]
        quote = delimited.newline_quote(table) if kind == "csv" else None
        names, begin = delimited.header(file, table) if kind == "csv" else ([], 0)
        if kind == "json":
            begin = records.first(file, None, 8)[1]
        return [
            Piece(file, index, *span, columns=tuple(names), table=table)
            for span in records.spans(file, quote, begin, rows)
        ]


def read(piece: Piece, names: Sequence[str]) -> pa.Table:
    """The rows of a piece: columns ``names`` (each once, whatever is asked twice), and ``UNREADABLE``.

    Raises:
        ArtifactError: when the file is not what its name says, or lacks a column.
    """
    names, kind = list(dict.fromkeys(names)), _kind(piece.url, piece.table)
    with _faults_of(piece.url):
        if kind in ("csv", "json"):
            data = records.read(piece.url, records.Span(piece.start, piece.stop, piece.begin, piece.end))
            return _text_rows(piece, data, names, kind)
        if kind == "parquet":
            rows = _parquet_rows(piece, names)
        else:
            rows = synthetic.table(piece.url.partition(":")[2]).slice(piece.start, piece.stop - piece.start)
            _check_names(piece.url, names, rows.column_names)
        return _plain(piece, rows.select(names), np.full(rows.num_rows, None, object))


def stream(url: str, names: Sequence[str], rows: int, table: Table = _AS_IT_COMES) -> Iterator[pa.Table]:
    """A table from its first row to its last, as ``read`` gives it, about ``rows`` rows at a time."""
    names = list(dict.fromkeys(names))
    for index, file in enumerate(locate(url)):
        if _kind(file, table) != "parquet":
            yield from (read(piece, names) for piece in file_pieces(file, index, rows, table))
            continue
        with _faults_of(file), _parquet(file) as held:
            _check_names(file, names, held.schema_arrow.names)
            at = 0
            for batch in held.iter_batches(rows, columns=names):
                piece = Piece(file, index, at, at + batch.num_rows, table=table)
                yield _plain(piece, pa.Table.from_batches([batch]), np.full(batch.num_rows, None, object))
                at += batch.num_rows


def head(file: str, table: Table, names: Sequence[str], rows: int) -> pa.Table:
    """At most the first ``rows`` rows of a file, as ``read`` gives them."""
    kind = _kind(file, table)
    with _faults_of(file):
        if kind in ("synthetic", "parquet"):
            return read(Piece(file, 0, 0, min(rows, _count(file, kind)), table=table), names)
        quote = delimited.newline_quote(table) if kind == "csv" else None
        data, at = records.first(file, quote, records.BLOCK_BYTES)
        there, begin = delimited.header(file, table) if kind == "csv" else ([], at)
        data = data[begin - at :]
        ends = records.rows(data, quote)[1][:rows]
        piece = Piece(file, 0, 0, len(ends), columns=tuple(there), table=table)
        return _text_rows(piece, data[: ends[-1] if len(ends) else 0], list(dict.fromkeys(names)), kind)


def read_all(url: str, names: Sequence[str], table: Table = _AS_IT_COMES) -> pa.Table:
    """A whole table (items, users), columns ``names``.

    Raises:
        ArtifactError: as ``read``, and when a row cannot be read: such a table has no quarantine.
    """
    names = list(dict.fromkeys(names))
    parts = [read(piece, names) for piece in pieces(url, 1 << 40, table)]
    for part in parts:
        bad = part.column(UNREADABLE).drop_null()
        if len(bad):
            raise ArtifactError(f"{url}: {len(bad)} rows cannot be read; mend the file. The first: {bad[0]}")
    if not parts:
        return pa.table({name: pa.array([], pa.string()) for name in names})
    columns = {}
    for name in names:
        held = [chunk for part in parts for chunk in part.column(name).chunks]
        kinds = {chunk.type for chunk in held if not pa.types.is_null(chunk.type)}
        kind = kinds.pop() if len(kinds) == 1 else pa.string()
        columns[name] = pa.chunked_array([chunk.cast(kind) for chunk in held], kind)
    return pa.table(columns)


def _kind(file: str, table: Table) -> str:
    if file.startswith("synthetic:"):
        return "synthetic"
    suffix = Path(records.plain_name(file)).suffix
    if table.format or suffix in _KINDS:
        return table.format or _KINDS[suffix]
    raise ArtifactError(
        f"{file}: expected a name with {', '.join(_KINDS)} (text may be .gz, .bz2 or .zst), or the table's format set"
    )


@contextlib.contextmanager
def _faults_of(file: str) -> Iterator[None]:
    """Whatever a library raises over a file, as an ``ArtifactError`` that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ImportError, ValueError, MemoryError, TypeError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(f"{file}: cannot be read ({text[:200]}); is it whole, and what its name says?") from error


@contextlib.contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    with fsspec.open(file) as stream:
        yield pq.ParquetFile(stream)


def _count(file: str, kind: str) -> int:
    if kind == "synthetic":
        return synthetic.table(file.partition(":")[2]).num_rows
    with _parquet(file) as held:
        return held.metadata.num_rows


def _check_names(file: str, names: Sequence[str], there: Sequence[str]) -> None:
    absent = [name for name in names if name not in there]
    if absent:
        raise ArtifactError(
            f"{file}: has no column {', '.join(map(repr, absent))}, only {', '.join(there)}; all files of a table "
            "need the columns that the configuration names"
        )


def _text_rows(piece: Piece, data: bytes, names: list[str], kind: str) -> pa.Table:
    if kind == "json":
        rows, reasons = json_lines.parse(data, names, piece.start)
    else:
        _check_names(piece.url, names, piece.columns)
        rows, reasons = delimited.parse(data, piece.url, piece.table, piece.columns, names, piece.start)
    if rows.num_rows != piece.stop - piece.start:
        raise ArtifactError(
            f"{piece.url}: expected rows {piece.start} to {piece.stop}, got {rows.num_rows}: it changed; run again"
        )
    return _plain(piece, rows, reasons)


def _parquet_rows(piece: Piece, names: list[str]) -> pa.Table:
    """By batches, for a file may be one row group of many millions of rows."""
    with _parquet(piece.url) as file:
        _check_names(piece.url, names, file.schema_arrow.names)
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        if piece.start == piece.stop:
            return file.schema_arrow.empty_table().select(names)
        ends = np.cumsum(sizes)
        first = int(np.searchsorted(ends, piece.start, side="right"))
        last = int(np.searchsorted(ends, piece.stop, side="left"))
        at, parts = int(ends[first]) - sizes[first], []
        for batch in file.iter_batches(65_536, list(range(first, last + 1)), names, use_threads=False):
            low, high = max(piece.start - at, 0), min(piece.stop - at, batch.num_rows)
            if high > low:
                parts.append(batch.slice(low, high - low))
            at += batch.num_rows
            if at >= piece.stop:
                break
        return pa.Table.from_batches(parts)


def _plain(piece: Piece, rows: pa.Table, reasons: np.ndarray) -> pa.Table:
    """Columns as ``etl.values.plain`` gives them, and the reasons; text that is none spoils its row."""
    columns: dict[str, Any] = {}
    for name in rows.column_names:
        try:
            columns[name], bad = plain(rows.column(name))
        except TypeError as error:
            raise ArtifactError(f"{piece.url}: column {name!r} holds {error}; expected plain values") from None
        for row in np.flatnonzero(bad):
            reasons[row] = reasons[row] or f"row {piece.start + row + 1} is not utf-8 in {name!r}"
    return pa.table({**columns, UNREADABLE: pa.array(reasons, pa.string())})
