import dataclasses

import numpy as np
import pytest

from train import tables, validation
from train.pairs import Queries
from train.validation import HeldOut, judge


def rows(seen, taken):
    """Rows by what was seen and taken in each; the queries are given as embeddings."""
    flat = [
        (np.array([code for row in lists for code in row], np.int32), np.array([*map(len, lists)]))
        for lists in (seen, taken)
    ]
    return HeldOut(Queries(np.empty((0, 1)), np.empty((0, 1)), np.empty((0, 1))), *flat[0], *flat[1])


def test_a_row_is_judged_by_the_place_of_what_was_taken_behind_all_that_was_not_seen():
    # Codes 3, 4 and 5 lie on the axes: the first row ranks 3, 4, 5 and has seen 3; the second ranks 5, 4, 3.
    embeddings = np.array([[3, 2, 1], [1, 2, 3]], np.float32)
    figures = judge(embeddings, np.eye(3, dtype=np.float32), rows([[2, 3], []], [[4], [3]]))
    assert figures["ndcg_at_10"] == pytest.approx((1 + 1 / np.log2(4)) / 2, abs=1e-5)
    assert figures["recall_at_100"] == 1.0


def test_rows_beyond_one_chunk_are_judged_by_their_own_items():
    generator = np.random.default_rng(2)
    count = validation.CHUNK + 7
    target = generator.integers(0, 50, count)
    items = np.eye(50, dtype=np.float32)
    seen = [[int(code) + 3] for code in (target + 1) % 50]
    figures = judge(items[target] + 2 * items[(target + 1) % 50], items, rows(seen, (target + 3)[:, None].tolist()))
    assert figures["ndcg_at_10"] == 1.0


def test_the_rows_of_window_c_are_held_out_with_what_was_seen_before(world):
    held = tables.catalogue(world.config, world.zones)
    loaded = validation.load(world.config, world.zones, held)
    assert loaded is not None
    assert len(loaded.queries.user_codes) == len(loaded.seen_sizes) == len(loaded.taken_sizes)
    assert loaded.taken_sizes.min() > 0
    assert loaded.seen_sizes.sum() == len(loaded.seen) > 0
    open_to_seen = dataclasses.replace(world.config, serve=dataclasses.replace(world.config.serve, exclude_seen=False))
    again = validation.load(open_to_seen, world.zones, held)
    assert again is not None
    assert again.seen_sizes.sum() == len(again.seen) == 0
