"""What was shown, with what became of it: a row for each item of each impression, the features as they were served.

The lake keeps impressions as ``contracts/impressions.py`` says (``raw/impressions/``). An interaction of the trusted
events belongs to an impression when it names its ``request_id`` and one of its items, and follows it in time. So a
ranker can be trained on what users chose from, with the inputs that the ranker was really given:

    shown = impressions.rows(zones, within_hours=24)
    ranked = shown.filter(pc.is_finite(shown["probability"]))       # what the ranker was asked of
    inputs, label = ranked.select(["evidence", "trend", ...]), ranked["clicked"]

Positions bias clicks: ``position`` is there to be corrected for (and to estimate how much is looked at).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from contracts import live_files
from contracts.artifacts import Zones
from contracts.events import INTERACTIONS
from contracts.features import MS_PER_HOUR
from contracts.live_files import IMPRESSIONS

#: Fields of an impression that all of its rows have.
OF_REQUEST = ("request_id", "user_id", "anonymous_id", "session_id", "device", "region", "as_of", "release", "variant")
_NAMES = ("retrieval_sources", "categorical_columns", "continuous_columns")
_INTERACTION = ("request_id", "item_id", "event_time", "event_type")


def rows(zones: Zones, within_hours: float = 24.0) -> pa.Table:
    """A row for each item shown, in the order of ``as_of``, request and position.

    Returns:
        columns ``OF_REQUEST``; ``position`` int32, ``item_id``, ``score``, ``source``; ``probability`` float32, NaN
        where the ranker was not asked; ``retrieval_<source>`` float32; the ranker's inputs by their names, int32 and
        float32, null where the release of that time had no such column; ``clicked`` bool and ``clicked_after_ms``
        int64, of the first interaction with the item within ``within_hours`` of the impression, null without one.
    """
    tables = [_exploded(table) for table in _alike(_first(_impressions(zones)))]
    if not tables:
        return pa.table({})
    shown = pa.concat_tables(tables, promote=True).sort_by(
        [("as_of", "ascending"), ("request_id", "ascending"), ("position", "ascending")]
    )
    return _with_clicks(shown, _interactions(zones), int(within_hours * MS_PER_HOUR))


def _impressions(zones: Zones) -> pa.Table:
    """All impressions of the lake."""
    tables = []
    for file in live_files.live_files(zones, IMPRESSIONS):
        with file.filesystem.open(file.path, "rb") as opened:
            tables.append(pq.ParquetFile(opened).read())
    return pa.concat_tables(tables) if tables else pa.table({"request_id": pa.array([], pa.string())})


def _first(table: pa.Table) -> pa.Table:
    """The first impression of each id: a publisher that was killed sends its last ones again."""
    codes = table["request_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    return table.take(np.sort(first))


def _alike(table: pa.Table) -> Iterator[pa.Table]:
    """Impressions by the names of their columns: those of a release are all alike."""
    if not len(table):
        return
    names = [tuple(map(tuple, each)) for each in zip(*(table[name].to_pylist() for name in _NAMES))]
    codes = {each: code for code, each in enumerate(dict.fromkeys(names))}
    which = np.array([codes[each] for each in names])
    for code in codes.values():
        yield table.take(np.flatnonzero(which == code))


def _exploded(table: pa.Table) -> pa.Table:
    """A row for each item of impressions whose columns are named alike."""
    sizes = pc.list_value_length(table["item_ids"]).to_numpy()
    parent = np.repeat(np.arange(len(table)), sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = {name: table[name].take(parent) for name in OF_REQUEST}
    columns["position"] = pa.array(np.arange(len(parent)) - np.repeat(starts, sizes), pa.int32())
    for name, field in (("item_id", "item_ids"), ("score", "scores"), ("source", "sources")):
        columns[name] = pc.list_flatten(table[field])
    columns["probability"] = pc.list_flatten(table["probabilities"])
    for prefix, names, field in (
        ("retrieval_", "retrieval_sources", "retrieval_scores"),
        ("", "categorical_columns", "categorical"),
        ("", "continuous_columns", "continuous"),
    ):
        named = table[names][0].as_py()
        values = pc.list_flatten(table[field]).to_numpy().reshape(len(parent), len(named))
        columns |= {prefix + name: pa.array(values[:, i]) for i, name in enumerate(named)}
    return pa.table(columns)


def _interactions(zones: Zones) -> pa.Table:
    """Trusted interactions that name an impression."""
    filesystem, path = fsspec.core.url_to_fs(f"{zones.processed}/events")
    kind = ds.field("event_type").isin([each.value for each in INTERACTIONS])
    wanted = kind & ds.field("request_id").is_valid() & ds.field("item_id").is_valid()
    return ds.dataset(path, filesystem=filesystem, format="parquet").to_table(columns=list(_INTERACTION), filter=wanted)


def _with_clicks(shown: pa.Table, interactions: pa.Table, within_ms: int) -> pa.Table:
    """The rows with the first interaction that follows each in time."""
    pairs = _numbered(shown, interactions)
    time = interactions["event_time"].to_numpy()
    order = np.lexsort((time, pairs[1]))
    keys, times = pairs[1][order], time[order]
    as_of = shown["as_of"].to_numpy()
    after = np.full(len(shown), -1, np.int64)
    starts, ends = np.searchsorted(keys, pairs[0], "left"), np.searchsorted(keys, pairs[0], "right")
    for row in np.flatnonzero(ends > starts):
        later = times[starts[row] : ends[row]] - as_of[row]
        fits = later[(later >= 0) & (later <= within_ms)]
        after[row] = fits[0] if len(fits) else -1
    columns = {"clicked": pa.array(after >= 0), "clicked_after_ms": pa.array(after, mask=after < 0)}
    for name, values in columns.items():
        shown = shown.append_column(name, values)
    return shown


def _numbered(*tables: pa.Table) -> Sequence[np.ndarray]:
    """A number for each pair of request and item, the same in all tables."""
    found = []
    for name in ("request_id", "item_id"):
        whole = pa.chunked_array(list(itertools.chain(*(table[name].chunks for table in tables))), pa.string())
        found.append(whole.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64))
    pairs = found[0] * (int(found[1].max(initial=0)) + 1) + found[1]
    return np.split(pairs, np.cumsum([len(table) for table in tables])[:-1])
