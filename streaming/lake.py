"""The lake as the stream uses it: the form of live files, and everything that a rebuild reads.

How live files are named, and which records they hold: ``contracts/live_files.py``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from contracts.artifacts import Zones, fingerprint, read_manifest
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.events import FIELDS, INTERACTIONS, Event, EventType, arrow_types
from contracts.features import user_behaviour
from contracts.folds import STATE_VERSION, Dwell, Interaction, dwell_ms
from contracts.live_files import LiveFile
from streaming.catalogue import Catalogue
from streaming.updates import Update

_TYPES = arrow_types(pa)
_READ = {
    "user_id": pa.string(),
    "event_id": pa.string(),
    "event_time": pa.int64(),
    "event_type": pa.string(),
    "item_id": pa.string(),
    "region": pa.string(),
    "value": pa.float64(),
}
_DWELL = EventType.DWELL.value
#: Columns of which ``_update`` makes what is folded.
_FOLDED = ("user_id", "event_time", "event_id", "event_type", "item_id", "region", "value")
_PLACE = {"partition": pa.int32(), "offset": pa.int64(), "incarnation": pa.string()}
#: Where a record lay in its topic.
PLACE_FIELDS = [pa.field(name, kind) for name, kind in _PLACE.items()]
#: Columns of a live file: the fields of an event, and where the record lay in the topic.
LIVE_SCHEMA = pa.schema([pa.field(field.name, _TYPES[field.kind]) for field in FIELDS] + PLACE_FIELDS)


def place(filesystem: Any, path: str, table: pa.Table) -> None:
    """Write a table as a file that appears whole or not at all."""
    content = io.BytesIO()
    pq.write_table(table, content)
    if "file" in filesystem.protocol:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        partial = Path(f"{path}.partial")
        partial.write_bytes(content.getvalue())
        partial.replace(path)
    else:
        filesystem.pipe_file(path, content.getvalue())  # object stores show an object when it is complete


def origin(config: Config, zones: Zones) -> str:
    """What the features of the online store are made of: another origin means that they must be rebuilt.

    The view's version and the states' are part of it, so that rows and states of other code are made anew.
    """
    made_by = user_behaviour(config.features), STATE_VERSION
    return fingerprint(config.name, read_manifest(zones.processed)["fingerprint"], config.features, *made_by)


def catalogue(config: Config, zones: Zones, files: Sequence[LiveFile]) -> Catalogue:
    """Every item's category as of any instant, by the processed zone and the updates of items in ``files``.

    Raises:
        ArtifactError: when the processed zone has no items.
    """
    column = config.features.category
    if not column:
        return Catalogue()
    newest = _columns(f"{zones.processed}/items.parquet", ["item_id", column])
    former = _columns(f"{zones.processed}/item_changes.parquet", ["item_id", "valid_from", column])
    known = Catalogue(column, dict(zip(*newest)), zip(*former))
    for update in item_updates(files):
        known.change(update)
    return known


def item_updates(files: Sequence[LiveFile]) -> list[Event]:
    """The updates of items in live files."""
    if not files:
        return []
    wanted = ds.field("event_type") == EventType.ITEM_UPDATE.value
    names = ["event_id", "event_type", "event_time", "item_id", "attributes"]
    rows = _dataset(files).to_table(columns=names, filter=wanted).to_pylist()
    return [Event(**{**row, "attributes": dict(row["attributes"] or ())}) for row in rows]


def _columns(url: str, names: list[str]) -> list[list[Any]]:
    """Columns of a file of the processed zone; a missing text is ""."""
    filesystem, path = fsspec.core.url_to_fs(url)
    try:
        table = pq.read_table(path, columns=names, filesystem=filesystem)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not there: run `python -m etl run` first") from None
    return [["" if value is None else value for value in table[name].to_pylist()] for name in names]


def histories(zones: Zones, files: Sequence[LiveFile], catalogue: Catalogue) -> Iterator[tuple[str, list[Update]]]:
    """Each user's interactions and dwell reports, of the processed history and of ``files``; the first of an id counts.

    Raises:
        ArtifactError: when the processed zone has no events.
    """
    live = [_live(files).drop_columns([*_PLACE])] if files else []
    table = pa.concat_tables([_history(zones), *live])
    if not len(table):
        return
    users = table["user_id"].combine_chunks().dictionary_encode()
    codes = users.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    last = np.flatnonzero(np.diff(codes[order], append=-1)) + 1
    table = table.take(order)
    columns = [table[name].combine_chunks() for name in _FOLDED]
    names = users.dictionary.to_pylist()
    start = 0
    for end in last.tolist():
        once: dict[str, Update] = {}
        # NumPy makes Python's objects some times faster than ``to_pylist``.
        part = (column.slice(start, end - start).to_numpy(zero_copy_only=False).tolist() for column in columns)
        for values in zip(*part):
            if values[2] not in once:
                once[values[2]] = _update(values, catalogue)
        yield names[codes[order[start]]], list(once.values())
        start = end


def beyond(files: Sequence[LiveFile], folded: Mapping[str, Mapping[int, int]], catalogue: Catalogue) -> list[Update]:
    """What is to be folded of live records at or beyond the offsets in ``folded``, in the order of time.

    Args:
        files: live files.
        folded: incarnation -> partition -> first offset that was not folded in; 0 where there is none.
        catalogue: with the updates of the live zone.
    """

    def first(incarnation: str, partition: int) -> int:
        return folded.get(incarnation, {}).get(partition, 0)

    fresh = [file for file in files if file.last >= first(file.incarnation, file.partition)]
    if not fresh:
        return []
    found = [
        _update([row[name] for name in _FOLDED], catalogue, row["partition"])
        for row in _live(fresh).to_pylist()
        if row["offset"] >= first(row["incarnation"], row["partition"])
    ]
    return sorted(found, key=lambda each: each.event[:2])


def log_end(zones: Zones) -> int:
    """Time of the newest event of the processed history, ms; 0 when it is empty."""
    times = _history_files(zones).to_table(columns=["event_time"])["event_time"]
    return max((int(chunk.to_numpy().max()) for chunk in times.chunks if len(chunk)), default=0)


def _update(values: Sequence[Any], catalogue: Catalogue, partition: int = 0) -> Update:
    user, time, event_id, kind, item, region, value = values
    if kind == _DWELL:
        return Update(user, Dwell(time, event_id, dwell_ms(value)), region, partition)
    return Update(user, Interaction(time, event_id, item, catalogue.at(item, time)), region, partition)


def _history(zones: Zones) -> pa.Table:
    return _foldable(_history_files(zones), _READ)


def _history_files(zones: Zones) -> Any:
    filesystem, path = fsspec.core.url_to_fs(f"{zones.processed}/events")
    if not filesystem.exists(path):
        raise ArtifactError(f"{zones.processed}/events is not there: run `python -m etl run` first")
    return ds.dataset(path, filesystem=filesystem, format="parquet")


def _live(files: Sequence[LiveFile]) -> pa.Table:
    return _foldable(_dataset(files), {**_READ, **_PLACE})


def _dataset(files: Sequence[LiveFile]) -> Any:
    paths = [file.path for file in files]
    return ds.dataset(paths, filesystem=files[0].filesystem, format="parquet", schema=LIVE_SCHEMA)


def _foldable(dataset: Any, columns: Mapping[str, pa.DataType]) -> pa.Table:
    kind = ds.field("event_type")
    wanted = kind.isin([each.value for each in INTERACTIONS]) | ((kind == _DWELL) & ds.field("value").is_valid())
    wanted = wanted & ds.field("user_id").is_valid() & ds.field("item_id").is_valid()
    return dataset.to_table(columns=list(columns), filter=wanted).cast(pa.schema(list(columns.items())))
