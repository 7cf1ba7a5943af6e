"""A candidate's answers to the evaluation's requests, through the steps that serve; the current release's beside."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import (
    Zones,
    drop_manifest,
    exists,
    fingerprint,
    is_current,
    read_json,
    read_manifest,
    write_manifest,
)
from contracts.config import Config
from contracts.errors import TriremeError
from contracts.features import FIRST_VALUE
from contracts.requests import Request
from ensemble import assemble, latency, raw_rows
from ensemble.export import candidate_url, local_copy
from ensemble.steps.chain import Answered, Chain
from ensemble.steps.lookup import catalogue_mask
from ensemble.steps.release import Release
from ensemble.steps.retrieval import blocked_items
from ensemble.steps.scores import top_k

log = logging.getLogger(__name__)

_BATCH = 32
_ASKED = ["request_id", "user_id", "k", "region", "exclude_item_ids"]
#: Length of the lists beside the answer, for figures of their own.
_BESIDE = 100
#: Requests that are timed one by one.
_TIMED = 100

Batch = tuple[list[Request], list[dict[str, Any]], list[int]]


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Write ``answers.parquet`` and, of another release that is the current one, ``answers_current.parquet``.

    Returns:
        Figures of the run: ``current`` says which release was answered with beside the candidate, or why it was not.
    """
    release, current = read_manifest(zones.releases)["release"], current_release(zones)
    mark = fingerprint(release, read_manifest(zones.features)["fingerprint"])
    if not force and is_current(zones.answers, mark):
        facts = read_manifest(zones.answers)
        # Once promoted, the candidate is the current release: what it was compared with still stands.
        if current in ("", release, facts["current"].get("release")):
            log.info("answers are current; nothing to do")
            return {**facts, "skipped": True}
    drop_manifest(zones.answers)
    started = time.monotonic()
    # In the order of time: popularity is kept by bucket, and without order every batch would ask for all of them.
    table = assemble.read_table(f"{zones.features}/requests.parquet").sort_by("as_of")
    facts: dict[str, Any] = {"release": release, "requests": table.num_rows}
    with tempfile.TemporaryDirectory() as temporary:
        opened = Release.open(local_copy(candidate_url(zones), Path(temporary)))
        chain = Chain(opened)
        _write(f"{zones.answers}/answers.parquet", chain, _batches(table, opened, _BATCH))
        facts["latency_ms"] = _latency(chain, table, opened, config.train.seed)
    facts["current"] = _beside(zones, table, current) if current not in ("", release) else {}
    facts["seconds"] = round(time.monotonic() - started, 1)
    write_manifest(zones.answers, mark, **facts)
    return facts


def current_release(zones: Zones) -> str:
    """The id of the promoted release; "" when there is none."""
    url = f"{zones.releases}/current.json"
    return read_json(url)["release"] if exists(url) else ""


def _beside(zones: Zones, table: pa.Table, current: str) -> dict[str, Any]:
    """The same requests answered by the current release, where this code can still open it and knows its features."""
    log.info("the current release %s answers the same requests", current)
    url = f"{zones.answers}/answers_current.parquet"
    try:
        with tempfile.TemporaryDirectory() as temporary:
            opened = Release.open(local_copy(f"{zones.releases}/{current}", Path(temporary)))
            until, cut = opened.document["fitted_until"], read_manifest(zones.processed)["cut"]
            if until > cut:
                return {"release": current, "reason": f"it has learned from what came after this cut ({until} > {cut})"}
            _write(url, Chain(opened), _batches(table, opened, _BATCH))
    except (TriremeError, KeyError, TypeError, ValueError) as error:
        # A release of older code or of other features can no more be served by this code than compared.
        log.warning("the current release %s cannot be compared: %s", current, error)
        return {"release": current, "reason": f"this code cannot answer with it: {error}"}
    return {"release": current, "reason": ""}


def _batches(table: pa.Table, release: Release, size: int) -> Iterator[Batch]:
    """Requests with their raw rows and instants."""
    for part, rows in raw_rows.batches(table, release.features, size):
        requests = [
            Request(row["user_id"], row["k"], row["region"], tuple(row["exclude_item_ids"]), row["request_id"])
            for row in part.select(_ASKED).to_pylist()
        ]
        yield requests, rows, part["as_of"].to_pylist()


def _write(url: str, chain: Chain, batches: Iterator[Batch]) -> None:
    """Answer all requests and write the answers."""
    parts = []
    for requests, rows, as_of in batches:
        parts.append(_columns(chain, chain.answer(requests, rows, as_of, now_ms=0)))
        if len(parts) % 64 == 0:
            log.info("answered %d", len(parts) * _BATCH)
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    with filesystem.open(path, "wb") as file:
        pq.write_table(pa.concat_tables(parts), file)


def _columns(chain: Chain, answered: Answered) -> pa.Table:
    """One batch of answers, beside what two-tower alone, retrieval's order and trending would have answered."""
    tables, (ids, scores) = chain.tables, answered.candidates
    order = np.argsort(-scores[..., 0], axis=1, kind="stable")[:, :_BESIDE]
    two_tower = np.take_along_axis(ids, order, axis=1)
    seen = catalogue_mask(answered.query.seen_items, tables.items)
    blocked = blocked_items(answered.envelopes, seen, tables, chain.popularity)
    demand = np.stack([chain.popularity.trending(x.as_of, x.region) for x in answered.envelopes])
    trending = [row[row >= 0] + FIRST_VALUE for row in top_k(np.where(blocked, -np.inf, demand), _BESIDE)]
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
            "trending_ids": [tables.item_ids[row].tolist() for row in trending],
        }
    )


def _latency(chain: Chain, table: pa.Table, release: Release, seed: int) -> dict[str, dict[str, float]]:
    """Of a seeded sample of the requests, one at a time."""
    chosen = np.random.default_rng(seed).permutation(table.num_rows)[:_TIMED]
    ((requests, rows, as_of),) = _batches(table.take(np.sort(chosen)), release, _TIMED)
    return latency.measured(chain, requests, rows, as_of)
