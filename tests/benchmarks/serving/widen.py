"""A release of more items, made from a real one: ``widen(release, folder, items, seed)``.

The perturbation, in full: item i of the catalogue is copied as often as it takes; copy c of item i

- is called ``<id>~<c>`` and shares the item's attributes and numbers, so that vocabularies of attributes stay;
- has the item's embedding and its factors plus Gaussian noise as long as ``NOISE`` of the vector (the embedding is
  brought back to its own length): neighbours of a copy are other items' copies as well as its own kin;
- has as neighbours (item-item) the copies c of the item's neighbours, with the same weights;
- was bought once, in the bucket and region of a purchase of the item that is drawn, and was a first take once.

Real items keep their codes, embeddings, neighbours and histories, and come first; users, towers, ranker and blend stay
as trained. So a real history meets as many neighbours and similar users as before, while whatever looks at the whole
catalogue (towers, factors, trending, top-k) has all of it to look at, and real embeddings' structure.

Golden requests: the first ``GOLDEN`` are kept, their answers recomputed by the python steps; beyond
``MOST_RECOMPUTED`` items, for which these would take ten gigabytes, there are none.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contracts.artifacts import write_json
from contracts.features import FIRST_VALUE
from contracts.requests import check_request
from ensemble import assemble, golden
from ensemble.steps import graphs, sources, tables
from ensemble.steps.chain import Chain
from ensemble.steps.release import DOCUMENT, Release

NOISE = 0.5
GOLDEN = 6
MOST_RECOMPUTED = 200_000


def widen(release: Release, folder: Path, items: int, seed: int = 5) -> Release:
    """A release of ``items`` items in ``folder``, as described above; what is there already is replaced.

    Raises:
        ValueError: when the release has more items than that.
    """
    generator = np.random.default_rng(seed)
    held = len(release.json(tables.VOCABULARY)["item_id"])
    if items < held:
        raise ValueError(f"expected at least the {held} items of {release.id}, got {items}")
    source = np.arange(items) % held  # place in the catalogue -> of which item it is a copy; the first are themselves
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(release.root, folder)
    _write_tables(release, folder, source, held, generator)
    _write_retrieval(release, folder, source, held, generator)
    document = {**release.document, "release": f"{release.id}-{items}", "files": assemble.checksums(folder)}
    write_json(str(folder / DOCUMENT), document)
    recomputed = _recomputed(release, Release.open(folder)) if items <= MOST_RECOMPUTED else []
    write_json(str(folder / golden.FILE), {"requests": recomputed})
    document["files"][golden.FILE] = assemble.checksum(folder / golden.FILE)
    write_json(str(folder / DOCUMENT), document)
    return Release.open(folder)


def _write_tables(
    release: Release, folder: Path, source: np.ndarray, held: int, generator: np.random.Generator
) -> None:
    vocabulary = release.json(tables.VOCABULARY)
    names = vocabulary["item_id"]
    vocabulary["item_id"] = names + [f"{names[s]}~{at // held}" for at, s in enumerate(source[held:].tolist(), held)]
    (folder / tables.VOCABULARY).write_text(json.dumps(vocabulary))
    rows = np.concatenate([np.arange(FIRST_VALUE), source + FIRST_VALUE])
    _save(folder / tables.ITEMS, {name: values[rows] for name, values in release.arrays(tables.ITEMS).items()})
    for name in (tables.BUCKETS, tables.FIRST_TAKES):
        if name in release.document["files"]:
            _save(folder / name, _bought_once(release.arrays(name), source, held, generator))


def _bought_once(
    table: Mapping[str, np.ndarray], source: np.ndarray, held: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """A table of buckets with one more row a copy: a row of its item, drawn, with a count of 1; sorted as before."""
    columns = {name: values for name, values in table.items() if name != "regions"}
    order = np.argsort(columns["item_code"], kind="stable")
    starts = np.searchsorted(columns["item_code"][order], np.arange(held + 1) + FIRST_VALUE)
    sizes = np.diff(starts)
    copies = np.flatnonzero(sizes[source[held:]] > 0) + held
    of = source[copies]
    drawn = order[starts[of] + generator.integers(0, sizes[of])]
    more = {name: values[drawn] for name, values in columns.items()}
    more["item_code"] = (copies + FIRST_VALUE).astype(columns["item_code"].dtype)
    more["count"] = np.ones(len(copies), columns["count"].dtype)
    joined = {name: np.concatenate([values, more[name]]) for name, values in columns.items()}
    return joined | {name: values for name, values in table.items() if name == "regions"}


def _write_retrieval(
    release: Release, folder: Path, source: np.ndarray, held: int, generator: np.random.Generator
) -> None:
    for name, keeps_length in ((graphs.ITEM_EMBEDDINGS, True), (sources.ALS, False)):
        if name in release.document["files"]:
            np.save(folder / name, _perturbed(release.array(name), source, held, generator, keeps_length))
    table = release.arrays(sources.ITEM_ITEM)
    real, items = table["neighbours"], len(source)
    neighbours = np.empty((items, real.shape[1]), real.dtype)
    for start in range(0, items, held):
        # Item codes: a copy's neighbours lie as many catalogues further on; one that would be beyond the last stays.
        own = real[: items - start]
        moved = (own >= FIRST_VALUE) & (own + start < items + FIRST_VALUE)
        neighbours[start : start + held] = np.where(moved, own + start, own)
    _save(folder / sources.ITEM_ITEM, {"neighbours": neighbours, "weights": table["weights"][source]})


def _perturbed(
    vectors: np.ndarray, source: np.ndarray, held: int, generator: np.random.Generator, keeps_length: bool
) -> np.ndarray:
    """Rows of ``source``, those after the first ``held`` with noise; float32 ``[items, d]``."""
    found = vectors[source]
    copies = found[held:]
    length = np.linalg.norm(copies, axis=1, keepdims=True)
    noise = generator.standard_normal(copies.shape, np.float32)
    copies += noise * (NOISE / np.sqrt(copies.shape[1]) * length)
    if keeps_length:
        copies *= length / np.maximum(np.linalg.norm(copies, axis=1, keepdims=True), 1e-12)
    return found


def _recomputed(release: Release, wide: Release) -> list[dict[str, Any]]:
    """The first golden requests with what the python steps answer of the wide release."""
    chain = Chain(wide)
    entries = []
    for entry in release.json(golden.FILE)["requests"][:GOLDEN]:
        (answer,) = chain.answer([check_request(entry["request"])], [entry["row"]], [entry["as_of"]], now_ms=0).answers
        compared = {name: value for name, value in dataclasses.asdict(answer).items() if name in entry["answer"]}
        entries.append({**entry, "answer": json.loads(json.dumps(compared))})
    return entries


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)
