"""What retrieval returns for the rows of windows B and C, with the ranker's features: what the ranker is made by.

Made by the very steps that serve, from a release that has no ranker yet, so that training sees what serving computes.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import (
    Zones,
    code_version,
    drop_manifest,
    fingerprint,
    is_current,
    read_manifest,
    write_manifest,
)
from contracts.config import Config
from contracts.features import FIRST_VALUE, SOURCES, ranker_categorical, ranker_continuous
from contracts.requests import Request
from ensemble import assemble, raw_rows
from ensemble.steps.arrays import Candidates
from ensemble.steps.envelope import Envelope
from ensemble.steps.lookup import Lookup, catalogue_mask
from ensemble.steps.popularity import Popularity
from ensemble.steps.ranker import RankerFeatures
from ensemble.steps.release import Release
from ensemble.steps.retrieval import Retrieval, session_weights
from ensemble.steps.tables import load

log = logging.getLogger(__name__)

_BATCH = 64
#: Requests whose candidates make one file.
_ROWS_A_FILE = 2048


@dataclasses.dataclass(frozen=True)
class Window:
    """How much of a window is kept.

    Attributes:
        rows: at most so many rows, a seeded sample; 0 keeps all.
        negatives: at most so many candidates a row that were not bought, a seeded sample; 0 keeps all.
        hits_only: leave out rows of which retrieval found nothing that was bought: nothing to learn from.
    """

    name: str
    rows: int
    negatives: int
    hits_only: bool


#: C's beginning as if little were known of some users (``etl.cold.rehearsal``).
COLD = "cold"
#: B fits the ranker; the others tune calibration and blend, so that their lists are whole.
WINDOWS = (Window("B", 0, 60, True), Window("C", 2_000, 0, False), Window(COLD, 0, 0, False))
#: At most so many users, drawn by seed, whose cold start is looked at: each is a row for each number of known events.
_COLD_USERS = 300


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Fill the candidates zone; figures of the run."""
    fit = f"{zones.retrieval}/fit"
    mark = fingerprint(
        config.features,
        config.serve,
        config.train.seed,
        read_manifest(zones.features)["fingerprint"],
        read_manifest(fit)["fingerprint"],
        code_version(*assemble.CODE),
    )
    if not force and is_current(zones.candidates, mark):
        log.info("candidates are current; nothing to do")
        return {**read_manifest(zones.candidates), "skipped": True}
    drop_manifest(zones.candidates)
    facts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        assemble.write_shared(folder, config, zones)
        assemble.write_retrieval(folder, fit)
        assemble.write_document(folder, config, zones, "fit", fit)
        maker = _Maker(Release.open(folder))
        for window in WINDOWS:
            facts[window.name] = _fill(config, zones, maker, window)
    write_manifest(zones.candidates, mark, windows=facts)
    return {"windows": facts}


def _fill(config: Config, zones: Zones, maker: _Maker, window: Window) -> dict[str, Any]:
    """Write one window's files; how many rows and positives, and what retrieval found of what was bought."""
    names = ["row_id", "user_id", "as_of", "target_item_codes", *raw_rows.columns(config.features)]
    names += ["person", "exclude_item_ids"] if window.name == COLD else []
    table = assemble.read_table(f"{zones.features}/rows/window={window.name}", names)
    generator = np.random.default_rng([config.train.seed, ord(window.name[0])])
    if window.name == COLD:
        people = generator.permutation(np.unique(table["person"].to_numpy()))[:_COLD_USERS]
        table = table.filter(np.isin(table["person"].to_numpy(), people))
    if 0 < window.rows < table.num_rows:
        table = table.take(np.sort(generator.choice(table.num_rows, window.rows, replace=False)))
    # In the order of time: popularity is kept by day, and without order every batch would ask for all days.
    table = table.sort_by("as_of")
    filesystem, path = fsspec.core.url_to_fs(f"{zones.candidates}/window={window.name}")
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)
    filesystem.makedirs(path)
    bought = found = written = 0
    for number, start in enumerate(range(0, table.num_rows, _ROWS_A_FILE)):
        parts = []
        for part, rows in raw_rows.batches(table.slice(start, _ROWS_A_FILE), config.features, _BATCH):
            made = maker(part, rows)
            bought += made.bought
            found += int(made.columns["label"].sum())
            parts.append(pa.table(_sampled(made.columns, window, generator)))
        whole = pa.concat_tables(parts)
        written += whole.num_rows
        with filesystem.open(f"{path}/part-{number:04d}.parquet", "wb") as file:
            pq.write_table(whole, file)
        log.info("window %s: %d of %d rows", window.name, min(start + _ROWS_A_FILE, table.num_rows), table.num_rows)
    recall = found / max(bought, 1)
    return {"rows": table.num_rows, "bought": bought, "found": found, "recall": round(recall, 4), "candidates": written}


@dataclasses.dataclass(frozen=True)
class _Made:
    """One batch's candidates, flat: a column of numbers or strings each, and how many items were bought in all."""

    columns: dict[str, np.ndarray]
    bought: int


class _Maker:
    """Candidates and features of batches of rows."""

    def __init__(self, release: Release):
        self._tables = load(release)
        popularity = Popularity(self._tables)
        self._popularity = popularity
        self._lookup = Lookup(self._tables)
        self._retrieval = Retrieval(self._tables, popularity, release)
        self._features = RankerFeatures(self._tables, popularity)

    def __call__(self, part: pa.Table, rows: list[dict[str, Any]]) -> _Made:
        users, as_of = part["user_id"].to_pylist(), part["as_of"].to_pylist()
        listed = "exclude_item_ids" in part.column_names
        excluded = part["exclude_item_ids"].to_pylist() if listed else [()] * len(users)
        envelopes = [
            self._envelope(user, tuple(those), row, instant)
            for user, those, row, instant in zip(users, excluded, rows, as_of)
        ]
        query = self._lookup.query(envelopes, rows)
        candidates = self._retrieval(envelopes, query)
        categorical, continuous = self._features(envelopes, query, candidates)
        targets = part["target_item_codes"].to_pylist()
        ids = candidates.candidate_ids
        valid = ids > 0
        index = np.maximum(ids - FIRST_VALUE, 0).astype(np.int64)
        trending = np.stack([self._popularity.trending(x.as_of, x.region)[row] for x, row in zip(envelopes, index)])
        named = {
            "row_id": part["row_id"].to_numpy(),
            "user_id": np.array(users, object),
            "as_of": part["as_of"].to_numpy(),
            "evidence": np.array([x.evidence for x in envelopes], np.int64),
        }
        numbers = valid.sum(axis=1)
        in_session = np.take_along_axis(session_weights(self._tables, query), self._tables.item_category[ids], axis=1)
        columns = {name: np.repeat(values, numbers) for name, values in named.items()}
        columns["item_code"] = ids[valid]
        columns["label"] = np.take_along_axis(self._bought(targets), index, axis=1)[valid].astype(np.int8)
        columns["trending_score"] = trending[valid].astype(np.float32)
        columns["in_session"] = in_session[valid].astype(np.float32)
        columns |= {name: values[valid] for name, values in _ranks(candidates).items()}
        for i, name in enumerate(ranker_categorical(self._tables.features)):
            columns[f"c_{name}"] = categorical[..., i][valid]
        for i, name in enumerate(ranker_continuous(self._tables.features)):
            columns[f"x_{name}"] = continuous[..., i][valid]
        return _Made(columns, sum(map(len, targets)))

    def _envelope(self, user: str, excluded: tuple[str, ...], row: dict[str, Any], as_of: int) -> Envelope:
        """A row's request, which is not answered what its day's catalogue would have lacked."""
        asked = self._lookup.envelope(Request(user, exclude_ids=excluded), row, as_of, 0)
        return dataclasses.replace(asked, excluded=(*asked.excluded, *self._not_yet_in_catalogue(as_of)))

    def _not_yet_in_catalogue(self, as_of: int) -> tuple[int, ...]:
        """Codes of items that a catalogue made at an instant would lack: the one that there is was made at the cut.

        Such an item became known in what follows. A ranker that met it among the candidates would learn that what is
        rare is soon taken often.
        """
        features = self._tables.features
        if features.live_items:
            return ()
        rare = self._popularity.counts(as_of, np.inf) < features.min_item_count
        return tuple((np.flatnonzero(rare) + FIRST_VALUE).tolist())

    def _bought(self, targets: list[list[int]]) -> np.ndarray:
        """What was bought, bool ``[b, items]``."""
        padded = np.zeros((len(targets), max(map(len, targets), default=0)), np.int64)
        held = np.arange(padded.shape[1]) < np.array([[len(codes)] for codes in targets])
        padded[held] = [code for codes in targets for code in codes]
        return catalogue_mask(padded, self._tables.items)


def _ranks(candidates: Candidates) -> dict[str, np.ndarray]:
    """Places by each source alone, from 0, int32 ``[b, m]``."""
    places = {}
    for i, name in enumerate(SOURCES):
        order = np.argsort(-candidates.candidate_scores[..., i], axis=1, kind="stable")
        places[f"{name}_rank"] = np.argsort(order, axis=1, kind="stable").astype(np.int32)
    return places


def _sampled(columns: dict[str, np.ndarray], window: Window, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """All that was bought, and a sample of what was not."""
    bought = columns["label"] > 0
    rows, index = np.unique(columns["row_id"], return_inverse=True)
    keep = np.ones(len(bought), bool)
    if window.negatives:
        # The smallest of random numbers within each row: a sample without a loop over rows.
        draw = np.where(bought, -1.0, generator.random(len(bought)))
        order = np.lexsort((draw, index))
        starts = np.searchsorted(index[order], np.arange(len(rows)))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - starts[index[order]]
        keep = place < window.negatives + np.bincount(index[bought], minlength=len(rows))[index]
    if window.hits_only:
        keep &= (np.bincount(index[bought], minlength=len(rows)) > 0)[index]
    return {name: values[keep] for name, values in columns.items()}
