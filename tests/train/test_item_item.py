import numpy as np
import pytest

from contracts.errors import ArtifactError
from train import item_item


@pytest.fixture
def pairs():
    held = np.random.default_rng(4).random((50, 12)) < 0.3
    return held, *np.nonzero(held)


@pytest.mark.parametrize("power", [0.0, 0.5])
@pytest.mark.parametrize("number", [50, 12, 7], ids=["more users than items", "as many", "fewer"])
def test_ease_equals_a_plain_inverse(pairs, number, power):
    held = pairs[0][:number]
    matrix = held.astype(float)
    users = np.maximum(matrix.sum(axis=0), 1)
    inverse = np.linalg.inv(matrix.T @ matrix + np.diag(7.0 * (users / users.mean()) ** power))
    expected = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(item_item.ease(*np.nonzero(held), 12, 7.0, power), expected, atol=1e-5)


def test_a_pair_given_twice_counts_once(pairs):
    _, users, items = pairs
    once = item_item.ease(users, items, 12, 7.0)
    np.testing.assert_allclose(item_item.ease(np.r_[users, users], np.r_[items, items], 12, 7.0), once, atol=1e-6)


def test_neighbours_keep_the_strongest_links_of_either_sign_and_scores_flow_along_them(pairs):
    held, users, items = pairs
    weights = item_item.ease(users, items, 12, 7.0)
    codes, strengths = item_item.neighbours(users, items, 12, 7.0, 0.0, 4, 12)
    assert codes.shape == strengths.shape == (12, 4)
    assert (codes.dtype, strengths.dtype) == (np.int32, np.float32)
    kept = np.zeros_like(weights)
    np.put_along_axis(kept, codes.astype(np.int64) - 3, strengths, axis=1)
    strongest = np.sort(np.abs(weights), axis=1)[:, -4:]
    np.testing.assert_allclose(np.sort(np.abs(strengths), axis=1), strongest, atol=1e-6)
    np.testing.assert_allclose(item_item.scores(held, codes, strengths), held.astype(float) @ kept, atol=1e-5)


def test_a_catalogue_smaller_than_the_list_is_padded(pairs):
    _, users, items = pairs
    codes, strengths = item_item.neighbours(users, items, 12, 7.0, 0.0, 20, 12)
    assert codes.shape == (12, 20)
    assert (codes[:, 12:] == 0).all()
    assert (strengths[:, 12:] == 0).all()


def test_items_of_the_fewest_users_get_no_neighbours_beyond_the_bound_and_are_none(pairs):
    _, users, items = pairs
    kept = np.sort(np.argsort(-np.bincount(items, minlength=12), kind="stable")[:8])
    codes, strengths = item_item.neighbours(users, items, 12, 7.0, 0.0, 5, 8)
    assert set(np.flatnonzero(codes.any(axis=1))) <= set(kept) and set(codes[codes > 0] - 3) <= set(kept)
    known = np.isin(items, kept)
    alone = item_item.neighbours(users[known], np.searchsorted(kept, items[known]), 8, 7.0, 0.0, 5, 8)
    assert np.array_equal(strengths[kept], alone[1]) and np.array_equal(
        codes[kept], np.where(alone[0], kept[alone[0] - 3] + 3, 0)
    )


@pytest.mark.parametrize(
    ("number", "regularization"), [(50, -100.0), (7, -1.0)], ids=["more users than items", "fewer"]
)
def test_an_impossible_regularization_is_named(pairs, number, regularization):
    users, items = np.nonzero(pairs[0][:number])
    with pytest.raises(ArtifactError, match=r"train\.item_item_regularization"):
        item_item.ease(users, items, 12, regularization)
