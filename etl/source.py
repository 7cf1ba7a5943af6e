"""Source tables of any shape as Arrow tables: where they lie, how many rows they have, and their rows by piece.

A URL is ``package:NAME/PATH`` (a file inside an installed wheel, found without importing it), ``synthetic:TABLE`` (the
seeded generator), or any fsspec URL of Parquet, CSV or JSON-lines files (``*`` allowed).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.csv import read_csv
from pyarrow.json import read_json

from contracts.errors import ArtifactError
from etl import synthetic


class Piece(NamedTuple):
    """Rows ``start`` to ``stop`` of one file: what one task reads."""

    url: str
    file: int
    start: int
    stop: int


def locate(url: str) -> list[str]:
    """The files behind a source URL, sorted; a synthetic table is its own file.

    Raises:
        ArtifactError: when a package or file is not there.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "synthetic":
        if rest not in synthetic.TABLES:
            raise ArtifactError(f"{url}: expected one of {', '.join(synthetic.TABLES)} after 'synthetic:'")
        return [url]
    if scheme == "package":
        name, _, path = rest.partition("/")
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ArtifactError(f"{url}: package {name!r} is not installed; install the extra that brings it")
        url = str(Path(next(iter(spec.submodule_search_locations))) / path)
    filesystem, path = fsspec.core.url_to_fs(url)
    files = sorted(filesystem.glob(path)) if "*" in path else [path] if filesystem.exists(path) else []
    if not files:
        raise ArtifactError(f"{url}: no such file; correct the url in the configuration")
    return [filesystem.unstrip_protocol(file) for file in files]


def columns(url: str) -> list[str]:
    """Column names of a source table (of its first file)."""
    file = locate(url)[0]
    if not file.endswith(".parquet"):
        return list(_whole(file).column_names)
    with fsspec.open(file) as stream:
        return list(pq.ParquetFile(stream).schema_arrow.names)


def pieces(url: str, rows: int) -> list[Piece]:
    """A source table cut into pieces of at most ``rows`` rows."""
    out = []
    for index, file in enumerate(locate(url)):
        total = _count(file)
        out += [Piece(file, index, start, min(start + rows, total)) for start in range(0, total, rows)]
    return out


def read(piece: Piece, names: Sequence[str]) -> pa.Table:
    """The rows of a piece, columns ``names`` (each once, whatever is asked twice)."""
    names = list(dict.fromkeys(names))
    if not piece.url.endswith(".parquet"):
        return _whole(piece.url).select(names).slice(piece.start, piece.stop - piece.start)
    with fsspec.open(piece.url) as stream:
        file = pq.ParquetFile(stream)
        first, groups, offset = None, [], 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if offset < piece.stop and offset + size > piece.start:
                first = offset if first is None else first
                groups.append(group)
            offset += size
        return file.read_row_groups(groups, columns=names).slice(piece.start - (first or 0), piece.stop - piece.start)


def read_all(url: str, names: Sequence[str]) -> pa.Table:
    """A whole table (items, users), columns ``names``."""
    return pa.concat_tables([read(piece, names) for piece in pieces(url, 1 << 40)], promote=True)


def _count(file: str) -> int:
    if not file.endswith(".parquet"):
        return _whole(file).num_rows
    with fsspec.open(file) as stream:
        return pq.ParquetFile(stream).metadata.num_rows


def _whole(file: str) -> pa.Table:
    if file.startswith("synthetic:"):
        return synthetic.table(file.partition(":")[2])
    with fsspec.open(file, compression="infer") as stream:
        if ".csv" in file:
            return read_csv(stream)
        if ".json" in file:
            return read_json(stream)
    raise ArtifactError(f"{file}: expected a name with .parquet, .csv, .json or .jsonl")
