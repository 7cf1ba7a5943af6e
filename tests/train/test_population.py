import numpy as np
import pytest

from train.population import Population, interval, lost_beyond_chance


def test_the_bootstrap_interval_covers_the_true_mean_and_has_the_textbook_width():
    values = (np.random.default_rng(5).random(400) < 0.3).astype(float)
    low, high = interval(Population(np.arange(400), seed=6).means(values))
    assert low < 0.3 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.21 / 400), rel=0.15)


def test_paired_resampling_sees_a_constant_gain_that_unpaired_intervals_would_hide():
    generator = np.random.default_rng(7)
    base = generator.random(200)
    population = Population(np.arange(200), seed=7)
    low, high = interval(population.means(base + 0.01) - population.means(base))
    assert (low, high) == pytest.approx((0.01, 0.01))


def test_requests_of_one_user_are_drawn_together_so_that_alike_ones_do_not_feign_certainty():
    values = (np.random.default_rng(8).random(100) < 0.5).astype(float)
    once = interval(Population(np.arange(100), seed=9).means(values))
    # Every user asks ten times and is as lucky every time: nothing more is known.
    often = interval(Population(np.repeat(np.arange(100), 10), seed=9).means(np.repeat(values, 10)))
    assert often == pytest.approx(once)


def test_the_mean_of_some_requests_is_theirs_alone():
    values, chosen = np.array([1.0, 0.0, 5.0, 7.0]), np.array([True, True, False, False])
    population = Population(np.arange(4), seed=1)
    found = population.mean(values, chosen)
    assert found["mean"] == 0.5
    assert found["interval"] == [0.0, 1.0]
    assert population.compared(values, np.full(4, 2.0), chosen)["ratio"] == 0.25


def test_a_clear_loss_is_told_from_chance_and_many_looks_ask_for_more():
    generator = np.random.default_rng(10)
    base = generator.random(300)
    noise = generator.normal(0, 0.1, 300)
    population = Population(np.arange(300), seed=11)
    assert lost_beyond_chance(population.compared(base - 0.05 + noise, base))
    assert not lost_beyond_chance(population.compared(base + noise - noise.mean(), base))
    # A loss of 2.4 standard errors: one look calls it a loss, the worst of 40 slices need not be one.
    slight = population.compared(base - noise.mean() + noise - 2.4 * 0.1 / np.sqrt(300), base)
    assert lost_beyond_chance(slight) and not lost_beyond_chance(slight, looks=40)
