"""Sources that know only who took what: equal to the library that fits them, and to the plainest form."""

import dataclasses
import io
import os

import fsspec
import numpy as np
import pytest
from made_shop import ENDS, make
from scipy import sparse

from contracts.user_user import Alike, Histories
from train import als, collaborative, item_item, tables


def planted():
    """120 users of four tastes, and a user nobody was fitted on."""
    generator = np.random.default_rng(11)
    taste = np.arange(120) % 4
    share = np.where(np.arange(40)[None, :] % 4 == taste[:, None], 0.5, 0.05)
    return sparse.csr_matrix((generator.random((120, 40)) < share).astype(np.float32))


def test_als_scores_are_those_that_implicit_recommends_by():
    taken = planted()
    model = als.fit(taken, 6, 3.0, 20)
    factors = als.folded(model.item_factors, 3.0)
    unseen = sparse.csr_matrix((np.arange(40) % 4 == 1).astype(np.float32)[None] * (np.arange(40) < 20))
    for history in (taken[5], taken[17], unseen):
        items, scores = model.recommend(0, history, N=20, recalculate_user=True)
        mine = (history @ factors) @ factors.T
        np.testing.assert_allclose(np.ravel(mine)[items], scores, atol=1e-4)
    np.testing.assert_allclose(als.item_factors(taken, 6, 3.0, 20) @ factors.T, factors @ factors.T, atol=0.05)


def test_als_recommends_an_unseen_user_of_his_taste():
    factors = als.item_factors(planted(), 6, 3.0, 20)
    history = np.zeros(40)
    history[[2, 6, 10]] = 1
    scores = (history @ factors) @ factors.T
    scores[[2, 6, 10]] = -np.inf
    assert (np.argsort(-scores)[:5] % 4 == 2).all()


@pytest.mark.parametrize("number", [5, 200])
def test_similar_users_are_the_nearest_by_cosine(number):
    taken = planted()
    held = taken.toarray().astype(float)
    alike = Alike(Histories(np.arange(120) + 3, taken.indptr.astype(np.int64), taken.indices), 40)
    for own in (0, 7):
        similarity = held @ held[own] / np.sqrt(held.sum(axis=1) * held[own].sum())
        similarity[own] = 0
        scores = alike.scores(np.flatnonzero(held[own]), own + 3, number)
        least = np.sort(similarity)[-min(number, 120)]
        if (similarity == least).sum() == 1:
            np.testing.assert_allclose(scores, np.where(similarity >= least, similarity, 0) @ held)
        assert np.bincount(np.argsort(-scores)[:8] % 4).argmax() == own % 4


def test_histories_are_those_of_the_users_of_late():
    users, items = np.array([0, 0, 2, 3, 3, 3]), np.array([4, 5, 1, 0, 2, 4])
    kept = collaborative.histories(users, items, latest=np.array([30, 99, 10, 20]), most=2)
    assert kept.users.tolist() == [0, 3]
    assert kept.starts.tolist() == [0, 2, 5]
    assert kept.items.tolist() == [4, 5, 0, 2, 4]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make(tmp_path_factory.mktemp("shop"))


def written(shop, **settings):
    train = dataclasses.replace(shop.config.train, **settings)
    zone = f"{shop.zones.retrieval}/fit"
    held = tables.catalogue(shop.config, shop.zones)
    collaborative.write(dataclasses.replace(shop.config, train=train), shop.zones, zone, held, ENDS["retrieval_end"])
    return zone, held


def load(url):
    with fsspec.open(url) as file:
        return np.load(io.BytesIO(file.read()), allow_pickle=False)


def test_what_a_release_holds_are_the_sources_as_of_the_instant(shop):
    zone, held = written(shop, als_factors=4, als_regularization=2.0, user_user_users=50)
    users, items = tables.first_interactions(shop.zones, held, ENDS["retrieval_end"])
    taken = np.zeros((len(held.user_ids), held.size))
    taken[users, items] = 1
    assert load(f"{zone}/als.npy").shape == (held.size, 4)
    kept = load(f"{zone}/user_user.npz")
    latest = tables.last_seen(shop.zones, held, ENDS["retrieval_end"])
    assert len(kept["users"]) == 50
    chosen = np.sort(np.argsort(-latest, kind="stable")[:50])
    codes = np.where(chosen < 150, chosen + 3, -1)  # users from the 150th on have no code
    assert kept["users"].tolist() == codes.tolist()
    for place, user in enumerate(chosen):
        own = kept["items"][kept["starts"][place] : kept["starts"][place + 1]]
        assert own.tolist() == np.flatnonzero(taken[user]).tolist()
    table = load(f"{zone}/item_item.npz")
    found = item_item.scores(taken > 0, table["neighbours"], table["weights"])
    assert np.isfinite(found).all()


def test_a_source_that_is_switched_off_leaves_no_file(shop):
    written(shop, als_factors=4, user_user_users=50)
    zone, _ = written(shop)
    assert sorted(os.listdir(zone)) == ["item_item.npz"]
