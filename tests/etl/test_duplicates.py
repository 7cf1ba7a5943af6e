"""Copies of an event, wherever they lie: hashes find the suspects, the ids decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import duplicates, store


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=40))
def test_equal_texts_have_equal_hashes_and_others_do_not(texts: list[str]) -> None:
    found = store.hash64(pa.chunked_array([pa.array(texts, pa.string())]))
    assert len(set(zip(texts, found.tolist()))) == len(set(texts)) == len(set(found.tolist()))
    cut = pa.chunked_array([pa.array(["x", *texts], pa.string()).slice(1)])
    assert store.hash64(cut).tolist() == found.tolist(), "a slice of a larger array is hashed as itself"


def test_ids_that_count_up_spread_evenly_over_the_buckets(tmp_path: Path) -> None:
    ids = pa.chunked_array([pa.array([f"e{i:09d}" for i in range(64_000)])])
    borders = duplicates.write(ids, str(tmp_path / "x"))
    sizes = np.diff(borders)
    assert borders[-1] == 64_000 and sizes.min() > 850 and sizes.max() < 1_150


def test_buckets_together_find_every_repeated_hash_and_keep_each_once(tmp_path: Path) -> None:
    first = pa.chunked_array([pa.array([f"e{i}" for i in range(500)])])
    second = pa.chunked_array([pa.array([f"e{i}" for i in range(400, 900)])])
    third = pa.chunked_array([pa.array([f"e{i}" for i in range(850, 1000)])])
    places = [str(tmp_path / name) for name in ("a", "b", "c")]
    borders = [duplicates.write(ids, place) for ids, place in zip((first, second, third), places)]
    twice, before, kept = [], [], []
    for bucket in range(duplicates.BUCKETS):
        old, out = str(tmp_path / f"{bucket}.old"), str(tmp_path / f"{bucket}.new")
        parts = [(place, int(b[bucket]), int(b[bucket + 1])) for place, b in zip(places, borders)]
        duplicates.merge(parts[:1], "", old)
        found = duplicates.merge(parts[1:], old, out)
        twice += found[0].tolist()
        before += found[1].tolist()
        kept += np.frombuffer(store.read_bytes(out), np.uint64).tolist()
    assert set(twice) == set(store.hash64(second).tolist()) & set(store.hash64(third).tolist())
    assert set(before) == set(store.hash64(first).tolist()) & set(store.hash64(second).tolist())
    assert len(kept) == len(set(kept)) == 1000


def test_the_first_that_came_stays_and_a_colliding_hash_costs_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "hash64", lambda ids: np.zeros(len(ids), np.uint64))
    rows = {"a.parquet": [("x", 7), ("y", 3)], "b.parquet": [("y", 2), ("z", 9), ("z", 8)], "old.parquet": [("x", 1)]}
    for name, held in rows.items():
        ids, offsets = zip(*held)
        store.write(pa.table({"event_id": ids, "offset": offsets}), str(tmp_path / name))
    wanted = np.zeros(1, np.uint64)
    look = [
        duplicates.suspects(name, task, str(tmp_path), wanted) for task, name in enumerate(("a.parquet", "b.parquet"))
    ]
    known = duplicates.suspects("old.parquet", -1, str(tmp_path), wanted)
    found = {copies.path: copies.rows.tolist() for copies in duplicates.copies(pd.concat(look), known)}
    # x is known of an earlier run; y came with a (the earlier task); of z the one of the smaller offset came first.
    assert found == {"a.parquet": [0], "b.parquet": [0, 1]}
