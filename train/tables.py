"""What the stage reads: parquet of the features and processed zones as arrays.

Where Merlin works on cuDF, the GPU decodes it, and Arrow takes the columns over without pandas. **Not run on a GPU**:
tests/train/test_tables.py puts a stand-in in cuDF's place that reads what cuDF would.
"""

# pyright: reportMissingImports=false
# (cuDF comes with RAPIDS)

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
from collections.abc import Sequence
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from contracts.artifacts import Zones, exists, read_json
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.events import INTERACTIONS
from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY, query_columns, standardised


def read(url: str, columns: Sequence[str], where: pc.Expression | None = None) -> pa.Table:
    """Columns of a parquet file or folder.

    Raises:
        ArtifactError: when it is not there or lacks a column.
    """
    if not exists(url):
        raise ArtifactError(f"{url} is not there: the stage that writes it has not finished; run it first")
    filesystem, path = fsspec.core.url_to_fs(url)
    data = ds.dataset(path, filesystem=filesystem, format="parquet", exclude_invalid_files=False)
    lacking = [name for name in columns if name not in data.schema.names]
    if lacking:
        raise ArtifactError(f"{url}: expected columns {lacking}, it has {data.schema.names}; run its stage again")
    if (cudf := _cudf()) and data.files:
        return _decoded(cudf, data, list(columns), where)
    return data.to_table(columns=list(columns), filter=where)


@functools.cache
def _cudf() -> Any:
    """The cuDF module where Merlin works on it, else None; the etl decides by the same (``etl/device.py``)."""
    if importlib.util.find_spec("cudf") is None:
        return None  # without asking Merlin, whose import takes seconds
    from merlin.core.dispatch import get_lib

    library = get_lib()
    return library if library.__name__ == "cudf" else None


def _decoded(cudf: Any, data: ds.FileSystemDataset, columns: list[str], where: pc.Expression | None) -> pa.Table:
    """The same as ``to_table`` would read, decoded on the GPU; text is never a dictionary.

    Rows are chosen on the host: cuDF knows no Arrow expressions, and what these name is only to be had from their text.
    """
    words = {*columns, *re.findall(r"\w+", str(where) if where is not None else "")}
    kinds = {field.name: field.type for field in data.schema if field.name in words}
    plain = {name: kind.value_type if pa.types.is_dictionary(kind) else kind for name, kind in kinds.items()}
    local = getattr(data.filesystem, "type_name", "") == "local"
    files = data.files if local else [data.filesystem.open_input_file(path) for path in data.files]
    table = cudf.read_parquet(files, columns=list(plain)).to_arrow(preserve_index=False)
    table = table.select(list(plain)).cast(pa.schema(list(plain.items())))
    return (table if where is None else table.filter(where)).select(columns)


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """A column without nulls as a numpy array."""
    return table[column].to_numpy()


def padded(table: pa.Table, column: str, length: int) -> np.ndarray:
    """A list column as ``[rows, length]``, cut or padded with 0 on the right; the type of the list's values."""
    values, lengths = flat(table, column)
    ends = np.cumsum(lengths)
    place = np.arange(length)[None, :]
    index = (ends - lengths)[:, None] + place
    held = place < lengths[:, None]
    if not len(values):
        return np.zeros(held.shape, values.dtype)
    return np.where(held, values[np.minimum(index, len(values) - 1)], values.dtype.type(0))


def flat(table: pa.Table, column: str) -> tuple[np.ndarray, np.ndarray]:
    """A list column as all its values, and the length of each row's list."""
    lists = table[column].combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], lists.type)
    return lists.flatten().to_numpy(zero_copy_only=False), pc.fill_null(
        pc.list_value_length(lists), 0
    ).to_numpy().astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The items that can be recommended with the codes of their attributes, and the vocabularies of users.

    Attributes:
        item_ids: string ``[catalogue]``; place i has code i + 3.
        item_codes: column -> int64 ``[catalogue + 3]``, by item code; ``item_id`` first.
        item_numbers: numeric column -> float32 ``[catalogue + 3]``, by item code, standardised.
        user_ids: strings, sorted.
        vocabularies: query column -> its values by code, from code 3 on.
        query_sizes: query column -> number of codes that serving may send, reserved ones included.
    """

    item_ids: np.ndarray
    item_codes: dict[str, np.ndarray]
    item_numbers: dict[str, np.ndarray]
    user_ids: np.ndarray
    vocabularies: dict[str, pa.Array]
    query_sizes: dict[str, int]

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def item_columns(self) -> dict[str, np.ndarray]:
        """The item tower's columns by item code, codes and numbers."""
        return {**self.item_codes, **self.item_numbers}

    def users(self, user_ids: np.ndarray) -> np.ndarray:
        """Places of users in ``user_ids``; -1 for one that is not there."""
        place = np.minimum(np.searchsorted(self.user_ids, user_ids), max(len(self.user_ids) - 1, 0))
        return np.where(self.user_ids[place] == user_ids, place, -1)

    def codes_of_users(self) -> np.ndarray:
        """By places in ``user_ids``, the codes that serving gives them, int64."""
        return _codes(pa.array(self.user_ids.tolist(), pa.string()), self.vocabularies["user_id"])

    def user_codes(self, rows: pa.Table) -> np.ndarray:
        """Codes of the users and requests of training rows as they were then, int64 ``[rows, query columns]``."""
        return self.codes(rows, tuple(self.vocabularies))

    def codes(self, rows: pa.Table, names: Sequence[str]) -> np.ndarray:
        """Codes of some query columns of training rows, int64 ``[rows, names]``."""
        codes = [_codes(rows[name], self.vocabularies[name]) for name in names]
        return np.stack(codes, axis=1) if codes else np.empty((rows.num_rows, 0), np.int64)


def _codes(values: pa.ChunkedArray | pa.Array, vocabulary: pa.Array) -> np.ndarray:
    """Codes of raw values; null for "", out of vocabulary for what has none."""
    found = pc.fill_null(pc.add(pc.index_in(values, value_set=vocabulary), FIRST_VALUE), OUT_OF_VOCABULARY)
    return pc.if_else(pc.equal(values, ""), NULL, found).to_numpy().astype(np.int64)


def catalogue(config: Config, zones: Zones) -> Catalogue:
    """Read ``features/items.parquet``, ``users.parquet`` and ``encodings.json``.

    Raises:
        ArtifactError: when the items are not in the order of their codes.
    """
    attributes, numeric = config.features.item_categorical, config.features.item_numeric
    names = ["item_id", "item_code", *(f"{name}_code" for name in attributes), *numeric]
    items = read(f"{zones.features}/items.parquet", names)
    codes = numbers(items, "item_code")
    if not np.array_equal(codes, np.arange(FIRST_VALUE, FIRST_VALUE + len(codes))):
        raise ArtifactError(f"{zones.features}/items.parquet: expected item_code = row + {FIRST_VALUE}; run etl again")
    by_column = {"item_id": np.arange(FIRST_VALUE + len(codes))}
    for name in attributes:
        # The reserved item codes (pad, null, out of vocabulary) have themselves as attributes.
        by_column[name] = np.r_[np.arange(FIRST_VALUE), numbers(items, f"{name}_code")].astype(np.int64)
    users = read(f"{zones.features}/users.parquet", ["user_id"])
    ids = np.sort(np.asarray(users["user_id"].to_pylist(), str))
    encodings = read_json(f"{zones.features}/encodings.json")
    scaled = {name: standardised(numbers(items, name), encodings[name]) for name in numeric}
    by_number = {name: np.r_[np.zeros(FIRST_VALUE, np.float32), values] for name, values in scaled.items()}
    known = {name: pa.array(encodings[name], pa.string()) for name in query_columns(config.features)}
    sizes = {name: FIRST_VALUE + len(values) for name, values in known.items()}
    return Catalogue(np.asarray(items["item_id"].to_pylist(), str), by_column, by_number, ids, known, sizes)


def first_interactions(zones: Zones, held: Catalogue, until_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (user, catalogue item) that interacted before an instant, once: places of users and of items, int64."""
    table = _interactions(zones, until_ms, ["user_id", "item_id"])
    users = pc.index_in(table["user_id"], value_set=pa.array(held.user_ids.tolist()))
    items = pc.index_in(table["item_id"], value_set=pa.array(held.item_ids.tolist()))
    known = pc.and_(pc.is_valid(users), pc.is_valid(items))
    pairs = users.filter(known).to_numpy().astype(np.int64) * held.size + items.filter(known).to_numpy()
    return np.divmod(np.unique(pairs), held.size)


def last_seen(zones: Zones, held: Catalogue, until_ms: int) -> np.ndarray:
    """The newest interaction of every user before an instant, ms, int64 by places of users; -1 without one."""
    table = _interactions(zones, until_ms, ["user_id", "event_time"])
    places = held.users(np.asarray(table["user_id"].to_pylist(), str))
    latest = np.full(len(held.user_ids) + 1, -1)  # of whoever is not there, the last
    np.maximum.at(latest, places, numbers(table, "event_time"))
    return latest[:-1]


def _interactions(zones: Zones, until_ms: int, columns: list[str]) -> pa.Table:
    kinds = pa.array(sorted(kind.value for kind in INTERACTIONS))
    where = (ds.field("event_time") < until_ms) & ds.field("event_type").isin(kinds)
    return read(f"{zones.processed}/events", columns, where)
