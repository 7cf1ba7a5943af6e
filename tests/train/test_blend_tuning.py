import dataclasses

import numpy as np
import pytest

from train.blend_tuning import mean_ndcg, platt, retrieval_weight
from train.metrics import ndcg


@dataclasses.dataclass(frozen=True)
class Requests:
    request: np.ndarray
    label: np.ndarray
    relevant: np.ndarray


def test_platt_finds_the_slope_and_offset_that_made_the_labels():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, 200_000)
    labels = generator.random(len(logits)) < 1 / (1 + np.exp(-(0.6 * logits - 1.5)))
    assert platt(logits, labels) == pytest.approx((0.6, -1.5), abs=0.03)


def test_platt_stays_finite_where_logits_separate_the_labels():
    slope, offset = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([slope, offset]).all()
    assert slope > 0


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
    weight, _ = retrieval_weight(probability, signal["retrieval"], flat)
    assert weight == pytest.approx(expected)
