"""A release's data out of the zones: the same files for training's candidates and for serving."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import Zones, exists, read_json, read_manifest, write_json
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, query_columns, standardised
from contracts.item_state import PRICE
from ensemble import trees, twin
from ensemble.steps import graphs, sources
from ensemble.steps.release import DOCUMENT
from ensemble.steps.tables import BUCKETS, COVISITS, FIRST_TAKES, ITEMS, VOCABULARY

log = logging.getLogger(__name__)

#: The packages whose code decides what a release holds and answers.
CODE = ("contracts", "ensemble", "triton_repo")

#: Of arrays within a file, bytes: what the npy format has for its own header.
_ALIGNMENT = 64
#: The kind of extra field that Android's zipalign uses for the same.
_EXTRA = 0xD935


def read_table(url: str, columns: list[str] | None = None) -> pa.Table:
    """A parquet file of a zone, or all parquet files right below a folder.

    Raises:
        ArtifactError: when there is none.
    """
    filesystem, path = fsspec.core.url_to_fs(url)
    files = [path] if path.endswith(".parquet") else sorted(filesystem.glob(f"{path}/*.parquet"))
    if not files or not filesystem.exists(files[0]):
        raise ArtifactError(f"{url} is not there: the stage that writes it has not finished; run it first")
    tables = []
    for name in files:
        with filesystem.open(name, "rb") as file:
            tables.append(pq.read_table(file, columns=columns))
    return pa.concat_tables(tables)


def write_shared(folder: Path, config: Config, zones: Zones) -> None:
    """The tables that several steps share: vocabulary, item columns and buckets."""
    encodings = read_json(f"{zones.features}/encodings.json")
    columns = dict.fromkeys((*query_columns(config.features), "item_id", *config.features.item_categorical))
    absent = [name for name in columns if name not in encodings]
    if absent:
        raise ArtifactError(f"{zones.features}/encodings.json lacks {', '.join(absent)}: run etl again")
    for column, listed in (*config.serve.never.items(), *config.serve.only.items()):
        if unknown := {*listed} - {*encodings[column]}:
            log.warning("a rule names %s, which no item has as its %s", ", ".join(sorted(unknown)), column)
    _write(folder / VOCABULARY, json.dumps({name: encodings[name] for name in columns}).encode())
    items = read_table(f"{zones.features}/items.parquet").to_pydict()
    if items["item_id"] != encodings["item_id"]:
        raise ArtifactError(f"{zones.features}/items.parquet and encodings.json list different items: run etl again")
    _write_arrays(folder / ITEMS, **_item_columns(config, items, encodings))
    buckets = read_table(f"{zones.features}/buckets.parquet")
    regions, region = np.unique(buckets["region"].fill_null("").to_numpy().astype(str), return_inverse=True)
    numbers = {name: buckets[name].to_numpy().astype(np.int32) for name in ("bucket", "item_code", "count")}
    numbers["region"] = region.astype(np.int32)
    order = np.lexsort((numbers["bucket"], numbers["region"]))
    _write_arrays(folder / BUCKETS, regions=regions, **{name: column[order] for name, column in numbers.items()})
    if config.features.covisit_half_lives_hours:
        pairs = read_table(f"{zones.features}/covisits.parquet")
        columns = ("bucket", "item_code", "next_code", "count")
        _write_arrays(folder / COVISITS, **{name: pairs[name].to_numpy().astype(np.int32) for name in columns})
    if config.features.first_takes:
        firsts = read_table(f"{zones.features}/first_takes.parquet")
        columns = ("bucket", "item_code", "count")
        _write_arrays(folder / FIRST_TAKES, **{name: firsts[name].to_numpy().astype(np.int32) for name in columns})


def write_retrieval(folder: Path, source: str) -> None:
    """What sources score by, of a folder of ``models/retrieval``; two of them it need not have."""
    for name in (graphs.QUERY_TOWER, graphs.ITEM_EMBEDDINGS, sources.ITEM_ITEM, sources.ALS, sources.USER_USER):
        url = f"{source}/{Path(name).name}"
        if name not in (sources.ALS, sources.USER_USER) or exists(url):
            data = _read(url)
            if name.endswith(".npz"):
                with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                    _write_arrays(folder / name, **arrays)
            else:
                _write(folder / name, data)


def write_ranker(folder: Path, source: str) -> None:
    """The ranker's graph; where it is nothing but trees, they are there as arrays too."""
    graph = _read(f"{source}/{Path(graphs.RANKER).name}")
    _write(folder / graphs.RANKER, graph)
    if held := trees.arrays(graph):
        _write_arrays(folder / trees.FILE, **held)


def write_document(
    folder: Path, config: Config, zones: Zones, release: str, retrieval_zone: str, **facts: Any
) -> dict[str, Any]:
    """``release.json``: settings and facts that serving needs, and the checksum of every file below the folder."""
    document = {
        "release": release,
        "name": config.name,
        "features": dataclasses.asdict(config.features),
        "serve": dataclasses.asdict(config.serve),
        "derived": twin.derived(config.features),
        "recent_half_life_hours": read_manifest(retrieval_zone)["recent_half_life_hours"],
        "shift_ms": read_manifest(zones.features)["shift_ms"],
        **facts,
        "files": checksums(folder),
    }
    write_json(str(folder / DOCUMENT), document)
    return document


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """Path within the folder -> size and sha256 of every file below it but ``release.json``."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DOCUMENT)
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def checksum(path: Path) -> dict[str, Any]:
    """Size and sha256 of one file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _item_columns(config: Config, items: Mapping[str, list], encodings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Codes, standardised numbers and raw prices by item code; pad, null and out of vocabulary stand for themselves."""
    attributes = config.features.item_categorical
    codes = np.zeros((len(items["item_id"]) + FIRST_VALUE, len(attributes)), np.int64)
    for i, name in enumerate(attributes):
        codes[:, i] = np.concatenate([np.arange(FIRST_VALUE), items[f"{name}_code"]])
    numeric = np.zeros((len(items["item_id"]) + FIRST_VALUE, len(config.features.item_numeric)), np.float32)
    for i, name in enumerate(config.features.item_numeric):
        numeric[FIRST_VALUE:, i] = standardised(np.array(items[name], np.float64), encodings[name])
    price = np.full(len(codes), np.nan)
    if PRICE in config.features.item_numeric:
        price[FIRST_VALUE:] = np.array(items[PRICE], np.float64)
    return {"codes": codes, "numeric": numeric, "price": price}


def _read(url: str) -> bytes:
    filesystem, path = fsspec.core.url_to_fs(url)
    try:
        return filesystem.cat_file(path)
    except FileNotFoundError:
        raise ArtifactError(f"{url} is not there: the stage that writes it has not finished; run it first") from None


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """An ``npz`` file as ``np.savez`` makes it, but that its arrays can be used where they lie in the file."""
    archived = io.BytesIO()
    with zipfile.ZipFile(archived, "w") as archive:
        for name, array in arrays.items():
            data, member = io.BytesIO(), zipfile.ZipInfo(f"{name}.npy")
            np.lib.format.write_array(data, array, version=(1, 0), allow_pickle=False)
            # To its place by an extra field, which readers skip: after a header of 30 bytes and the name.
            room = -(archived.tell() + 30 + len(member.filename) + 4) % _ALIGNMENT
            member.extra = struct.pack("<HH", _EXTRA, room) + bytes(room)
            archive.writestr(member, data.getvalue())
    _write(path, archived.getvalue())
