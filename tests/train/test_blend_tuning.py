import dataclasses

import numpy as np
import pytest

from contracts.blending import retrieval_score
from train.blend_tuning import mean_ndcg, tune
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


def test_of_equal_scores_the_first_row_is_first():
    flat = Requests(np.zeros(12, int), np.arange(12) == 10, np.array([1]))
    assert mean_ndcg(np.zeros(12), flat) == 0.0
    assert mean_ndcg(np.r_[-1.0, np.zeros(11)], flat) == pytest.approx(1 / np.log2(11))


def made(generator, signals, number=300, width=40):
    """Requests whose first ten by a sum of signals were taken."""
    request = np.repeat(np.arange(number), width)
    known = {name: generator.normal(0, 1, len(request)) for name in ("a_score", "b_log", "trend")}
    score = retrieval_score(known, signals)
    label = score >= -np.sort(-score.reshape(number, width), axis=1)[:, 9].repeat(width)
    return known, Requests(request, label, np.full(number, 10))


@pytest.mark.parametrize(
    "signals", [{"b_log": 1.0, "trend": 0.5}, {"a_score": 0.5, "b_log": 1.0, "trend": 0.2}, {"a_score": 1.0}]
)
def test_retrieval_s_weights_are_those_that_made_the_labels(signals):
    known, flat = made(np.random.default_rng(5), signals)
    fold = np.arange(300) % 5
    found = tune(np.full(len(flat.request), 0.1), known, flat, fold)
    total = sum(signals.values())
    assert found.signals == pytest.approx({name: weight / total for name, weight in signals.items()}, abs=0.05)
    assert found.retrieval_ndcg > 0.99
    assert found == tune(np.full(len(flat.request), 0.1), known, flat, fold), "the search draws nothing by chance"


def test_a_source_that_is_not_there_gets_no_weight():
    known, flat = made(np.random.default_rng(6), {"a_score": 1.0, "trend": 0.5})
    known["als_score"] = np.zeros(len(flat.request))
    assert "als_score" not in tune(np.full(len(flat.request), 0.1), known, flat, np.arange(300) % 5).signals


def test_the_weight_goes_to_whom_window_c_believes():
    generator = np.random.default_rng(3)
    known, flat = made(generator, {"a_score": 1.0, "trend": 0.5})
    truth, fold = retrieval_score(known, {"a_score": 1.0, "trend": 0.5}), np.arange(300) % 5
    noise = 1 / (1 + np.exp(-generator.normal(0, 1, len(truth))))
    assert tune(noise, known, flat, fold).retrieval_weight >= 5.0
    knowing = 1 / (1 + np.exp(-truth))
    useless = {name: generator.normal(0, 1, len(truth)) for name in known}
    assert tune(knowing, useless, flat, fold).retrieval_weight == 0.0


def test_of_weights_that_are_as_good_within_noise_the_smallest_is_taken():
    """Ranker and retrieval know the same: leaning on retrieval gains nothing, and is left."""
    known, flat = made(np.random.default_rng(4), {"a_score": 1.0})
    probability = 1 / (1 + np.exp(-known["a_score"]))
    assert tune(probability, known, flat, np.arange(300) % 5).retrieval_weight == 0.0


def test_weights_worth_is_measured_on_requests_that_did_not_choose_them():
    """Ranker and signals are noise: whatever weights look best on some requests are worth no more than chance."""
    generator = np.random.default_rng(7)
    request = np.repeat(np.arange(60), 30)
    label = generator.random(len(request)) < 0.1
    flat = Requests(request, label, np.bincount(request[label], minlength=60))
    known = {name: generator.normal(0, 1, len(request)) for name in ("a_score", "b_log", "trend")}
    found = tune(generator.random(len(request)), known, flat, np.arange(60) % 5)
    assert found.retrieval_ndcg < mean_ndcg(retrieval_score(known, found.signals), flat)
