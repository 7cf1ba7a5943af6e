"""The candidate release's answers to the evaluation requests, through the steps that serve."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import Zones, drop_manifest, fingerprint, is_current, read_manifest, write_manifest
from contracts.config import Config
from contracts.requests import Request
from ensemble import assemble, raw_rows
from ensemble.export import candidate_url, local_copy
from ensemble.steps.chain import Answered, Chain
from ensemble.steps.release import Release
from ensemble.steps.tables import Tables

log = logging.getLogger(__name__)

_BATCH = 32
#: Length of the two-tower's own list, for its own figure.
_TWO_TOWER = 100


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Write ``answers.parquet``; figures of the run."""
    release = read_manifest(zones.releases)["release"]
    mark = fingerprint(release, read_manifest(zones.features)["fingerprint"])
    if not force and is_current(zones.answers, mark):
        log.info("answers are current; nothing to do")
        return {**read_manifest(zones.answers), "skipped": True}
    drop_manifest(zones.answers)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        chain = Chain(Release.open(local_copy(candidate_url(zones), Path(temporary))))
    table = assemble.read_table(f"{zones.features}/requests.parquet")
    parts = []
    for part, rows in raw_rows.batches(table, config.features, _BATCH):
        asked = part.select(["user_id", "k", "region", "request_id"]).to_pylist()
        requests = [Request(**fields) for fields in asked]
        as_of = part["as_of"].to_pylist()
        parts.append(_columns(chain.tables, chain.answer(requests, rows, as_of, now_ms=0)))
        if len(parts) % 16 == 0:
            log.info("answered %d of %d", len(parts) * _BATCH, table.num_rows)
    filesystem, path = fsspec.core.url_to_fs(f"{zones.answers}/answers.parquet")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    with filesystem.open(path, "wb") as file:
        pq.write_table(pa.concat_tables(parts), file)
    facts = {"release": release, "requests": table.num_rows, "seconds": round(time.monotonic() - started, 1)}
    write_manifest(zones.answers, mark, **facts)
    return facts


def _columns(tables: Tables, answered: Answered) -> pa.Table:
    """One batch of answers, beside what the two-tower alone and retrieval's order would have answered."""
    ids, scores = answered.candidates
    order = np.argsort(-scores[..., 0], axis=1, kind="stable")[:, :_TWO_TOWER]
    two_tower = np.take_along_axis(ids, order, axis=1)
    answers = answered.answers
    return pa.table(
        {
            "request_id": [answer.request_id for answer in answers],
            "user_id": [answer.user_id for answer in answers],
            "item_ids": [list(answer.item_ids) for answer in answers],
            "scores": pa.array([list(answer.scores) for answer in answers], pa.list_(pa.float32())),
            "sources": [list(answer.sources) for answer in answers],
            "two_tower_ids": [tables.item_ids[row[row > 0]].tolist() for row in two_tower],
            "candidate_ids": [tables.item_ids[row[row > 0]].tolist() for row in ids],
        }
    )
