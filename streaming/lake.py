"""The lake as the stream uses it: names of live files, and everything that a rebuild reads.

A live file is called ``p<partition>-<incarnation>-<first offset>-<last offset>.parquet`` and appears by a rename, so
the files themselves say which records are stored: there is no second place that could disagree. They lie under the day
and hour (UTC) at which they were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from contracts.artifacts import Zones, fingerprint, read_manifest
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.events import FIELDS, INTERACTIONS
from contracts.folds import Interaction

_NAME = re.compile(r"/p(?P<partition>\d+)-(?P<incarnation>[0-9a-f]{32})-(?P<first>\d+)-(?P<last>\d+)\.parquet$")
_ARROW_TYPES = {
    "string": pa.string(),
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "map": pa.map_(pa.string(), pa.string()),
}
#: Columns of a live file: the fields of an event, and where the record lay in the topic.
LIVE_SCHEMA = pa.schema(
    [pa.field(field.name, _ARROW_TYPES[field.kind]) for field in FIELDS]
    + [pa.field("partition", pa.int32()), pa.field("offset", pa.int64()), pa.field("incarnation", pa.string())]
)
_READ = ("user_id", "event_id", "event_time", "item_id", "event_type")


class LiveFile(NamedTuple):
    """What the name of a live file says."""

    path: str
    partition: int
    incarnation: str
    first: int
    last: int


def live_name(partition: int, incarnation: str, first: int, last: int) -> str:
    """The name of the file that holds the records ``first`` to ``last``."""
    return f"p{partition:03d}-{incarnation}-{first:012d}-{last:012d}.parquet"


def live_files(zones: Zones) -> list[LiveFile]:
    """All live files, in the order of incarnation, partition and offset."""
    filesystem, path = fsspec.core.url_to_fs(f"{zones.raw}/live")
    found = []
    for name in filesystem.find(path):
        match = _NAME.search(name)
        if match:
            partition, first, last = (int(match[key]) for key in ("partition", "first", "last"))
            found.append(LiveFile(name, partition, match["incarnation"], first, last))
    return sorted(found, key=lambda file: file[1:])


def next_offsets(files: Sequence[LiveFile], incarnation: str, partitions: Sequence[int]) -> dict[int, int]:
    """Per partition the first offset that no file of this incarnation holds."""
    offsets = dict.fromkeys(partitions, 0)
    for file in files:
        if file.incarnation == incarnation and file.partition in offsets:
            offsets[file.partition] = max(offsets[file.partition], file.last + 1)
    return offsets


def origin(config: Config, zones: Zones) -> str:
    """What the features of the online store are made of: another origin means that they must be rebuilt."""
    return fingerprint(config.name, read_manifest(zones.processed)["fingerprint"], config.features)


def categories(config: Config, zones: Zones) -> dict[str, str]:
    """Item id -> the category by which interactions are counted; items without one are left out.

    Raises:
        ArtifactError: when the processed zone has no items.
    """
    filesystem, path = fsspec.core.url_to_fs(f"{zones.processed}/items.parquet")
    column = config.features.category
    try:
        table = pq.read_table(path, columns=["item_id", column], filesystem=filesystem)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not there: run `python -m etl run` first") from None
    table = table.filter(ds.field(column).is_valid())
    return dict(zip(table["item_id"].to_pylist(), table[column].cast(pa.string()).to_pylist()))


def histories(
    zones: Zones, files: Sequence[LiveFile], categories: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Interaction]]]:
    """Each user's interactions by event id: the processed history and ``files``, the first of each id.

    Raises:
        ArtifactError: when the processed zone has no events.
    """
    table = pa.concat_tables([_read(zones.processed, "events"), *_read_live(zones, files)])
    if not len(table):
        return
    users = table["user_id"].combine_chunks().dictionary_encode()
    codes = users.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ends = np.flatnonzero(np.diff(codes[order], append=-1)) + 1
    table = table.take(order)
    columns = [table[name].combine_chunks() for name in ("event_time", "event_id", "item_id")]
    names = users.dictionary.to_pylist()
    start = 0
    for end in ends.tolist():
        rows = zip(*(column.slice(start, end - start).to_pylist() for column in columns))
        once: dict[str, Interaction] = {}
        for time, event_id, item_id in rows:
            if event_id not in once:
                once[event_id] = Interaction(time, event_id, item_id, categories.get(item_id, ""))
        yield names[codes[order[start]]], once
        start = end


def _read(zone: str, folder: str) -> pa.Table:
    filesystem, path = fsspec.core.url_to_fs(f"{zone}/{folder}")
    if not filesystem.exists(path):
        raise ArtifactError(f"{zone}/{folder} is not there: run `python -m etl run` first")
    return _interactions(ds.dataset(path, filesystem=filesystem, format="parquet"))


def _read_live(zones: Zones, files: Sequence[LiveFile]) -> list[pa.Table]:
    if not files:
        return []
    filesystem, _ = fsspec.core.url_to_fs(zones.raw)
    paths = [file.path for file in files]
    return [_interactions(ds.dataset(paths, filesystem=filesystem, format="parquet", schema=LIVE_SCHEMA))]


def _interactions(dataset: Any) -> pa.Table:
    kinds = [kind.value for kind in INTERACTIONS]
    wanted = ds.field("event_type").isin(kinds) & ds.field("user_id").is_valid() & ds.field("item_id").is_valid()
    table = dataset.to_table(columns=list(_READ), filter=wanted)
    types = [pa.int64() if name == "event_time" else pa.string() for name in _READ]
    return table.cast(pa.schema(list(zip(_READ, types)))).drop_columns(["event_type"])
