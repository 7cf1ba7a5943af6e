"""A release of more items than it was made from: both twins load it, and real items keep what they had."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import FIRST_VALUE
from ensemble import golden
from ensemble.native import Core
from ensemble.steps import graphs, sources
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.benchmarks.serving.rounds import catalogue
from tests.benchmarks.serving.widen import GOLDEN, NOISE, widen
from tests.ensemble.backend.conftest import sanitized
from tests.ensemble.made_up import CUT, ITEMS

WIDE = 3 * ITEMS + 7


@pytest.fixture(scope="module")
def wide(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return widen(release, tmp_path_factory.mktemp("wide") / "release", WIDE)


def test_it_is_a_release_that_both_twins_answer_alike(wide: Release) -> None:
    wide.verify()
    assert catalogue(wide) == WIDE
    assert golden.replay(wide) == GOLDEN
    with Core(sanitized()) as core:
        core.load(wide)
        assert golden.compare(wide, core.replayed) == GOLDEN


def test_real_items_keep_their_vectors_and_copies_are_near_theirs(release: Release, wide: Release) -> None:
    for name in (graphs.ITEM_EMBEDDINGS, sources.ALS):
        real, copied = release.array(name), wide.array(name)
        assert np.array_equal(copied[:ITEMS], real)
        away = np.linalg.norm(copied[ITEMS : 2 * ITEMS] - real, axis=1) / np.linalg.norm(real, axis=1)
        assert 0.5 * NOISE < np.median(away) < 1.5 * NOISE
    lengths = np.linalg.norm(wide.array(graphs.ITEM_EMBEDDINGS), axis=1)
    assert np.allclose(lengths[ITEMS : 2 * ITEMS], lengths[:ITEMS], atol=1e-5)


def test_neighbours_of_a_copy_are_the_copies_of_its_items_neighbours(release: Release, wide: Release) -> None:
    real, copied = (one.arrays(sources.ITEM_ITEM)["neighbours"] for one in (release, wide))
    assert np.array_equal(copied[:ITEMS], real)
    second = copied[ITEMS : 2 * ITEMS]
    assert np.array_equal(np.where(second >= FIRST_VALUE, second - ITEMS, second), real)
    assert copied.max() < WIDE + FIRST_VALUE


def test_to_a_history_of_real_items_real_items_score_as_before(release: Release, wide: Release) -> None:
    before, after = Chain(release), Chain(wide)
    taken = np.zeros((1, ITEMS))
    taken[0, :9] = 1
    for source in ("similar", "als"):
        real = getattr(before.retrieval.sources, source)(taken)
        found = getattr(after.retrieval.sources, source)(np.pad(taken, ((0, 0), (0, WIDE - ITEMS))))
        assert np.allclose(found[:, :ITEMS], real, atol=1e-5)
    counts = [chain.popularity.counts(CUT, 168.0) for chain in (before, after)]
    assert np.allclose(counts[1][:ITEMS], counts[0])
    assert 0 < counts[1][ITEMS:].max() <= 1, "a copy was bought once"


def test_fewer_items_than_there_are_is_refused(release: Release, wide: Release) -> None:
    with pytest.raises(ValueError, match="at least the 240 items"):
        widen(release, wide.root.parent / "narrow", ITEMS - 1)
