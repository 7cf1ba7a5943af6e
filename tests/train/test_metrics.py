import numpy as np
import pytest

from train import metrics
from train.metrics import average_precision, best, hit_rate, ndcg, recall, reciprocal_rank


def test_ndcg_of_hits_at_places_one_and_four_is_as_computed_by_hand():
    hits = np.zeros((1, 10), bool)
    hits[0, [0, 3]] = True
    # DCG = 1/log2(2) + 1/log2(5) = 1 + 0.43068; ideal of 2 relevant = 1 + 1/log2(3) = 1.63093.
    assert ndcg(hits, np.array([2])) == pytest.approx([1.4306766 / 1.6309298])


def test_the_ideal_list_has_no_more_hits_than_places():
    assert ndcg(np.ones((1, 10), bool), np.array([37])) == pytest.approx([1.0])


def test_a_list_without_hits_scores_zero_everywhere():
    for score in metrics.METRICS.values():
        assert score(np.zeros((1, 10), bool), np.array([3])).tolist() == [0.0]


def test_recall_counts_all_relevant_items_and_only_the_first_ten_places():
    hits = np.ones((1, 12), bool)
    assert recall(hits, np.array([40])).tolist() == [0.25]


def test_average_precision_is_as_computed_by_hand():
    hits = np.zeros((1, 10), bool)
    hits[0, [0, 2]] = True
    # Precision 1/1 at place 1 and 2/3 at place 3, over min(10, 4) possible hits.
    assert average_precision(hits, np.array([4])) == pytest.approx([(1 + 2 / 3) / 4])


def test_seen_items_are_never_listed_and_short_rows_end_in_minus_one():
    scores = np.array([[0.9, 0.8, 0.7, 0.6]])
    seen = np.array([[True, False, True, False]])
    assert best(scores, seen, 3).tolist() == [[1, 3, -1]]


def test_of_equal_scores_the_smaller_place_comes_first():
    assert best(np.array([[0.5, 0.7, 0.5, 0.7]]), np.zeros((1, 4), bool), 4).tolist() == [[1, 3, 0, 2]]


def test_the_reciprocal_rank_is_that_of_the_first_hit_and_a_hit_anywhere_counts_once():
    hits = np.zeros((2, 10), bool)
    hits[0, [3, 7]] = True
    assert reciprocal_rank(hits, np.array([5, 5])).tolist() == [0.25, 0.0]
    assert hit_rate(hits, np.array([5, 5])).tolist() == [1.0, 0.0]
    assert hit_rate(hits, np.array([5, 5]), k=3).tolist() == [0.0, 0.0]


def test_the_best_are_those_of_a_full_stable_sort():
    generator = np.random.default_rng(8)
    scores = generator.integers(0, 6, (50, 40)).astype(float)  # many equals
    excluded = generator.random((50, 40)) < 0.7
    masked = np.where(excluded, -np.inf, scores)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :15]
    expected = np.where(np.take_along_axis(masked, order, axis=1) == -np.inf, -1, order)
    assert (expected == -1).any()
    assert np.array_equal(best(scores, excluded, 15), expected)
