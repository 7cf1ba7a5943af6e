import numpy as np
import pytest

from train.exposure import exposure


def test_lists_that_name_every_item_as_often_cover_all_and_concentrate_nothing():
    codes = np.array([[3, 4], [5, 6]])
    found = exposure(codes, np.ones(4))
    assert (found["coverage"], found["gini"]) == (1.0, 0.0)
    assert found["novelty"] == pytest.approx(2.0)  # -log2(1/4)


def test_everybody_s_same_item_is_as_concentrated_as_it_gets():
    found = exposure(np.full((50, 1), 3), np.r_[1.0, np.zeros(99)])
    assert found["coverage"] == pytest.approx(0.01)
    assert found["gini"] == pytest.approx(0.99)
    assert found["novelty"] == 0.0


def test_a_place_that_is_empty_is_no_item():
    assert exposure(np.array([[3, 0], [0, 0]]), np.ones(2))["coverage"] == 0.5
