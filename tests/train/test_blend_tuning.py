import dataclasses

import numpy as np
import pytest

from train.blend_tuning import mean_ndcg, retrieval_weight, retrieval_weights
from train.metrics import ndcg


@dataclasses.dataclass(frozen=True)
class Requests:
    request: np.ndarray
    label: np.ndarray
    relevant: np.ndarray


def test_the_flat_ndcg_equals_the_metric_of_the_evaluation_whatever_the_order_of_the_rows():
    generator = np.random.default_rng(2)
    scores, label = generator.random((30, 25)), generator.random((30, 25)) < 0.2
    relevant = label.sum(axis=1) + generator.integers(1, 4, 30)
    hits = np.take_along_axis(label, np.argsort(-scores, axis=1), axis=1)
    request = np.repeat(np.arange(30), 25)
    mixed = generator.permutation(len(request))
    flat = Requests(request[mixed], label.ravel()[mixed], relevant)
    assert mean_ndcg(scores.ravel()[mixed], flat) == pytest.approx(ndcg(hits, relevant).mean())


def test_requests_in_which_nothing_was_taken_do_not_count():
    flat = Requests(np.array([0, 0, 1, 1]), np.array([True, False, False, False]), np.array([1, 0]))
    assert mean_ndcg(np.array([2.0, 1.0, 2.0, 1.0]), flat) == 1.0


@pytest.mark.parametrize(("truth", "expected"), [("ranker", 0.0), ("retrieval", 3.0)])
def test_the_weight_goes_to_whom_window_c_believes(truth, expected):
    generator = np.random.default_rng(3)
    request = np.repeat(np.arange(200), 40)
    signal = {name: generator.normal(0, 1, len(request)) for name in ("ranker", "retrieval")}
    label = signal[truth] > 1.5
    flat = Requests(request, label, np.maximum(np.bincount(request[label], minlength=200), 0))
    # A ranker that says next to nothing leaves the order to retrieval at any weight: the largest is then as good.
    probability = 1 / (1 + np.exp(-signal["ranker"]))
    weight, _ = retrieval_weight(probability, signal["retrieval"], flat, np.arange(200) % 5)
    assert weight == pytest.approx(expected)


def test_the_weight_s_worth_is_measured_on_requests_that_did_not_choose_it():
    """Ranker and retrieval are noise: whatever weight looks best on some requests is worth no more than chance."""
    generator = np.random.default_rng(7)
    request = np.repeat(np.arange(60), 30)
    label = generator.random(len(request)) < 0.1
    flat = Requests(request, label, np.bincount(request[label], minlength=60))
    probability, retrieval = generator.random(len(request)), generator.normal(0, 1, len(request))
    chosen, worth = retrieval_weight(probability, retrieval, flat, np.arange(60) % 5)
    at_best = mean_ndcg(np.log(probability) + chosen * retrieval, flat)
    assert worth <= at_best


@pytest.mark.parametrize(("similar", "trend"), [(1.0, 0.6), (0.5, 0.3), (0.0, 0.0)])
def test_retrieval_s_weights_are_those_that_made_the_labels(similar, trend):
    generator = np.random.default_rng(5)
    request = np.repeat(np.arange(300), 40)
    known = [generator.normal(0, 1, len(request)) for _ in range(3)]
    score = (1 - similar) * known[0] + similar * known[1] + trend * known[2]
    label = score >= -np.sort(-score.reshape(300, 40), axis=1)[:, 9].repeat(40)
    weights, scores = retrieval_weights(*known, Requests(request, label, np.full(300, 10)))
    assert weights == (similar, trend)
    assert scores == pytest.approx(score)
