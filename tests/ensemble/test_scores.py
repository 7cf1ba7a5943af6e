"""Exact top-k and standardisation, against the plainest way to say them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble.steps.scores import standardised, top_k

#: Few distinct values, so that ties and absent scores are the rule.
ROUGH = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.25, 2.0])


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=ROUGH), st.integers(1, 40))
def test_top_k_takes_the_values_that_a_full_sort_takes(scores: np.ndarray, k: int) -> None:
    best = top_k(scores, k)
    assert best.shape == (len(scores), k)
    for row, columns in zip(scores, best):
        taken = columns[columns >= 0]
        assert len(set(taken)) == len(taken), "a column is taken once"
        finite = row[row > -np.inf]
        assert row[taken].tolist() == np.sort(finite)[::-1][:k].tolist()
        assert (columns[len(taken) :] == -1).all(), "what is missing comes last"


@given(hnp.arrays(np.float32, (3, 50), elements=st.floats(-5, 5, width=32), unique=True), st.integers(1, 50))
def test_without_ties_top_k_is_argsort(scores: np.ndarray, k: int) -> None:
    assert (top_k(scores, k) == np.argsort(-scores, axis=1)[:, :k]).all()


@pytest.mark.parametrize("kind", ["random", "ties", "sorted", "absent", "spike"])
@pytest.mark.parametrize("k", [1, 40, 200, 3000])
def test_over_a_large_catalogue_top_k_is_a_stable_sort(kind: str, k: int) -> None:
    rng = np.random.default_rng(k)
    scores = rng.normal(size=(3, 3000)).astype(np.float32)
    if kind == "ties":
        scores = np.round(scores)
    elif kind == "sorted":
        scores.sort(axis=1)
    elif kind == "absent":
        scores[:, 20:] = -np.inf
    elif kind == "spike":  # all that is good lies where the sample does not look
        scores[:, ::16] = -9
    best = top_k(scores, k)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    wanted = np.where(np.take_along_axis(scores, wanted, axis=1) > -np.inf, wanted, -1)
    assert np.array_equal(best, wanted)


def test_of_equal_scores_the_smaller_column_comes_first() -> None:
    assert top_k(np.array([[1.0, 3.0, 3.0, 3.0]]), 4).tolist() == [[1, 2, 3, 0]]


def test_nothing_to_choose_from_is_an_empty_choice() -> None:
    assert top_k(np.zeros((2, 0)), 3).tolist() == [[-1] * 3] * 2


@given(hnp.arrays(np.float32, (2, 20), elements=st.floats(-100, 100, width=32)), hnp.arrays(bool, (2, 20)))
def test_standardised_scores_do_not_move_when_all_scores_are_shifted_and_scaled(
    scores: np.ndarray, valid: np.ndarray
) -> None:
    once, again = standardised(scores, valid), standardised(scores.astype(np.float64) * 3 + 7, valid)
    # Where all scores are nearly equal the deviation is rounding noise, which no scaling preserves.
    apart = np.array([np.ptp(row[held]) > 1e-3 if held.any() else False for row, held in zip(scores, valid)])
    assert np.allclose(once[apart], again[apart], atol=1e-3)
    assert (once[~valid] == 0).all()


def test_scores_that_are_absent_neither_count_nor_get_a_score() -> None:
    scores = np.array([[1.0, 3.0, -np.inf, 99.0]])
    assert standardised(scores, np.array([[True, True, True, False]])).tolist() == [[-1.0, 1.0, 0.0, 0.0]]


def test_equal_scores_are_all_average() -> None:
    assert standardised(np.full((1, 5), 0.3), np.ones((1, 5), bool)).tolist() == [[0.0] * 5]
