import numpy as np
import pytest

from contracts.blending import calibrated
from train.calibration import METHODS, calibrate, curve, expected_error, folds, isotonic_knots, platt, platt_knots

REQUESTS, EACH = 2_000, 30


def taken(logits, log_odds, seed=1):
    return (np.random.default_rng(seed).random(len(logits)) < 1 / (1 + np.exp(-log_odds(logits)))).astype(np.float32)


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(0).normal(0, 2, REQUESTS * EACH).astype(np.float32)


@pytest.fixture(scope="module")
def request_of():
    return np.repeat(np.arange(REQUESTS), EACH)


def line(logits):
    """What a ranker does that saw too many hits, and is too sure of itself."""
    return 0.5 * logits - 3


def bent(logits):
    """What no line can put right."""
    return np.where(logits > 0, 0.1, 0.8) * logits - 2


def test_platt_finds_the_slope_and_offset_that_made_the_labels():
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, 200_000)
    assert platt(logits, taken(logits, lambda x: 0.6 * x - 1.5)) == pytest.approx((0.6, -1.5), abs=0.03)


def test_platt_finds_them_however_far_the_logits_lie_from_log_odds():
    logits = np.random.default_rng(2).normal(40, 12, 100_000)
    assert platt(logits, taken(logits, lambda x: (x - 40) / 6 - 5)) == pytest.approx((1 / 6, -40 / 6 - 5), rel=0.05)


def test_platt_stays_finite_where_logits_separate_the_labels():
    slope, offset = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([slope, offset]).all()
    assert slope > 0


@pytest.mark.parametrize(("truth", "method"), [(line, "platt"), (bent, "isotonic")])
def test_a_known_miscalibration_is_put_right_by_the_method_that_can(logits, request_of, truth, method):
    found = calibrate(logits, taken(logits, truth), request_of, seed=3)
    document = found.document
    assert document["method"] == method
    assert document["ece"] < 0.006 < 0.05 < document["ece_uncalibrated"]
    assert document["log_loss"][method] == min(document["log_loss"].values())
    for each in document["curve"]:
        # Three deviations of a share.
        margin = 3 * np.sqrt(each["predicted"] / each["count"])
        assert each["observed"] == pytest.approx(each["predicted"], abs=margin)
    assert sum(each["count"] for each in document["curve"]) == len(logits)
    served = calibrated(logits, found.knots)
    assert np.abs(served - 1 / (1 + np.exp(-truth(logits)))).mean() < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_calibration_keeps_every_order_and_brings_no_ties(logits, method):
    knots = METHODS[method](logits, taken(logits, bent))
    far = np.sort(np.r_[np.unique(logits), -60.0, -30.0, 30.0]).astype(np.float64)
    assert (np.diff(calibrated(far, knots)) > 0).all()


def test_the_isotonic_curve_pools_what_is_out_of_order():
    """Four pieces of 20 hits: the second and third are in the wrong order, and become one."""
    counts = [400, 50, 100, 25]
    label = np.concatenate([np.r_[np.ones(20), np.zeros(count - 20)][::-1] for count in counts])
    knots = isotonic_knots(np.arange(len(label), dtype=float), label)
    inner = 1 / (1 + np.exp(-np.array(knots["log_odds"][1:-1])))
    pooled = (50 * 20.5 / 51 + 100 * 20.5 / 101) / 150
    assert inner == pytest.approx([20.5 / 401, pooled, 20.5 / 26])
    # Beyond what was seen it goes on as Platt's line does.
    slope = platt(np.arange(len(label), dtype=float), label)[0]
    assert knots["log_odds"][-1] - knots["log_odds"][-2] == pytest.approx(slope)


def test_with_too_few_hits_for_a_curve_the_isotonic_method_is_platt_s():
    logits, label = np.arange(40.0), (np.arange(40) % 4 == 3).astype(float)
    assert isotonic_knots(logits, label) == platt_knots(logits, label)


def test_the_curve_s_bins_expect_equally_many_and_the_error_is_their_mean_distance():
    probability = np.repeat([0.01, 0.1], [1000, 900])
    label = np.r_[np.ones(20), np.zeros(980), np.ones(90), np.zeros(810)]
    bins = curve(probability, label)
    assert [each["count"] for each in bins][-1] == pytest.approx(100, abs=1)
    assert expected_error(
        [{"predicted": 0.2, "observed": 0.5, "count": 3}, {"predicted": 0.1, "observed": 0.1, "count": 1}]
    ) == pytest.approx(0.3 * 3 / 4)


def test_requests_are_parted_evenly_and_alike_for_the_same_seed():
    assert set(np.bincount(folds(103, 1))) == {20, 21}
    assert (folds(103, 1) == folds(103, 1)).all() and (folds(103, 1) != folds(103, 2)).any()
