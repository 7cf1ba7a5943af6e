import dataclasses
import shutil

import made_shop
import numpy as np
import pytest
from scipy import sparse

from contracts.artifacts import Zones, read_json, write_manifest
from train import baselines, tables
from train.baselines import made, popularity, task, tuning
from train.baselines.task import Demand, Rehearsal, Task

DAY = made_shop.DAY
#: A setting of each grid that suits the little shop.
SETTINGS = {
    "popular_recently": {"half_life_hours": 336},
    "item_knn_cosine": {"neighbours": 20},
    "item_knn_bm25": {"neighbours": 20, "b": 0.2},
    "user_knn": {"neighbours": 20},
    "als": {"factors": 8, "regularization": 10.0},
    "ease": {"regularization": 50.0},
    "lightfm_warp": {"factors": 8, "epochs": 10},
}
PERSONAL = sorted(set(baselines.ALL) - {"popular", "popular_recently"})


@pytest.fixture(scope="module")
def shop(world, tmp_path_factory):
    """The shop in a folder of its own, so that what is kept is this module's."""
    root = tmp_path_factory.mktemp("baselines")
    shutil.copytree(world.zones.root, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("baselines"))
    return made_shop.World(world.config, Zones(str(root)))


@pytest.fixture(scope="module")
def held(shop):
    return tables.catalogue(shop.config, shop.zones)


@pytest.fixture(scope="module")
def rehearsal(shop, held):
    return task.on_window_c(shop.config, shop.zones, held, moving=False)


def small(interactions, histories=None, users=None, exclude_seen=True):
    """A task in memory; the asking users are those of the interactions unless said otherwise."""
    known = sparse.csr_matrix(np.asarray(interactions, np.float32))
    asked = known if histories is None else sparse.csr_matrix(np.asarray(histories, np.float32))
    users = np.arange(asked.shape[0]) if users is None else np.asarray(users)
    nothing = Demand(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), 1440)
    return Task(known, asked, users, np.zeros(asked.shape[0], np.int64), nothing, exclude_seen, dense_items=100, seed=1)


def scored(name, one, **settings):
    return tuning.BASELINES[name].fit(one, **settings)(np.arange(len(one.as_of)))


@pytest.mark.parametrize("name", PERSONAL)
def test_each_that_looks_at_the_user_finds_the_planted_groups_and_popularity_does_not(rehearsal, name):
    popular = rehearsal.ndcg_at_10(popularity.popular(rehearsal.task))
    assert rehearsal.ndcg_at_10(tuning.BASELINES[name].fit(rehearsal.task, **SETTINGS[name])) > 1.8 * popular


def test_every_name_has_a_recipe_a_title_and_values_for_all_that_it_takes():
    assert [*tuning.BASELINES] == [*baselines.ALL] == [*baselines.TITLES]
    assert {name: {*grid.grid} for name, grid in tuning.BASELINES.items() if grid.grid} == {
        name: {*settings} for name, settings in SETTINGS.items()
    }


def test_nothing_of_window_c_is_learned_and_only_what_is_new_there_is_relevant(shop, held, rehearsal):
    start, cut = made_shop.ENDS["ranker_end"], made_shop.ENDS["cut"]
    before, until = (set(zip(*tables.first_interactions(shop.zones, held, end))) for end in (start, cut))
    learned = rehearsal.task.interactions
    assert learned.nnz == len(before)
    later = {user for user, _ in until - before}
    assert {int(user) for user in np.flatnonzero(np.diff(rehearsal.relevant.indptr))} == {*range(len(later))}
    assert rehearsal.relevant.nnz == len(until - before)
    # Every user of this shop was there before, and is known by what he had then.
    assert np.array_equal(rehearsal.task.histories.toarray(), learned[rehearsal.task.users].toarray())


def test_requests_at_instants_of_their_own_know_what_was_taken_since_the_fit(shop, held):
    moving = task.on_window_c(shop.config, shop.zones, held, moving=True)
    rows = tables.read(f"{shop.zones.features}/rows/window=C", ["user_id", "as_of", "target_item_codes"])
    assert moving.task.as_of.tolist() == rows["as_of"].to_pylist()
    assert moving.relevant.nnz == sum(map(len, rows["target_item_codes"].to_pylist()))
    more = moving.task.histories - moving.task.interactions[moving.task.users]
    assert more.min() == 0 and more.max() == 1
    assert moving.ndcg_at_10(tuning.BASELINES["ease"].fit(moving.task, regularization=50.0)) > 0.1


def test_lists_leave_out_what_was_seen_unless_it_may_be_offered_again():
    interactions = np.eye(12)[:3] + np.eye(12)[3:6]
    for exclude, expected in ((True, [1, 2, 4]), (False, [0, 1, 2])):
        one = small(interactions, exclude_seen=exclude)
        assert one.lists(popularity.popular(one))[0, :3].tolist() == [place + 3 for place in expected]


def test_a_catalogue_of_few_items_gives_short_lists():
    one = small([[1, 0, 0], [1, 1, 0]])
    assert one.lists(popularity.popular(one)).tolist() == [[4, 5] + [0] * 8, [5] + [0] * 9]


def test_popular_counts_users():
    assert scored("popular", small([[1, 1, 0], [1, 0, 0]])).tolist() == [[2, 1, 0]] * 2


def test_recent_popularity_halves_by_age_and_leaves_open_buckets_out():
    demand = Demand(np.array([0, 1, 3, 4, 9]), np.array([0, 1, 0, 1, 0]), np.array([4.0, 1, 2, 8, 64]), 60)
    hours = np.array([4, 9, 4, 0]) * DAY // 24 + 1  # just after a bucket opened
    one = dataclasses.replace(small(np.eye(4), np.eye(4)), demand=demand, as_of=hours)
    scores = scored("popular_recently", one, half_life_hours=2)

    def counts(opened):
        weights = np.where(demand.bucket < opened, demand.count * 0.5 ** ((opened - demand.bucket) / 2), 0.0)
        return [weights[demand.item == item].sum() for item in range(4)]

    assert scores == pytest.approx(np.array([counts(4), counts(9), counts(4), counts(0)]))


def test_item_neighbours_by_cosine_are_as_computed_by_hand():
    one = small([[1, 1, 0], [1, 1, 1], [1, 0, 0]], [[1, 0, 0]], users=[-1])
    # Item 0 has 3 users, item 1 two of them, item 2 one.
    assert scored("item_knn_cosine", one, neighbours=3) == pytest.approx(np.array([[1.0, 2 / 6**0.5, 1 / 3**0.5]]))
    assert scored("item_knn_cosine", one, neighbours=2) == pytest.approx(np.array([[1.0, 2 / 6**0.5, 0.0]]))


def test_user_neighbours_are_as_computed_by_hand_and_nobody_is_his_own():
    interactions = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 1]]
    both = np.array([[2, 2, 2, 0]]) / 6**0.5 + np.array([[0, 1, 0, 1]]) / 2
    one = small(interactions, interactions[:1], users=[0])
    assert scored("user_knn", one, neighbours=5) == pytest.approx(both)
    assert scored("user_knn", one, neighbours=1) == pytest.approx(np.array([[2, 2, 2, 0]]) / 6**0.5)
    # Somebody else with the same history is compared with everybody.
    other = small(interactions, interactions[:1], users=[-1])
    assert scored("user_knn", other, neighbours=5) == pytest.approx(both + [[1, 1, 0, 0]])


def test_ease_is_the_closed_form():
    generator = np.random.default_rng(4)
    matrix = (generator.random((40, 15)) < 0.3).astype(float)
    inverse = np.linalg.inv(matrix.T @ matrix + 7.0 * np.eye(15))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    assert scored("ease", small(matrix), regularization=7.0) == pytest.approx(matrix @ weights, abs=1e-5)
    few = scored("ease", dataclasses.replace(small(matrix), dense_items=4), regularization=7.0)
    most = np.argsort(-matrix.sum(axis=0), kind="stable")[:4]
    assert {*np.flatnonzero(np.isfinite(few[0]))} == {*most}


def test_who_was_not_there_when_lightfm_was_fitted_gets_what_is_popular(rehearsal):
    stranger = dataclasses.replace(rehearsal.task, users=np.full(len(rehearsal.task.users), -1))
    scores = scored("lightfm_warp", stranger, **SETTINGS["lightfm_warp"])
    assert np.array_equal(scores[0], scores[-1])
    taken = np.asarray(rehearsal.task.interactions.sum(axis=0)).ravel()
    assert np.corrcoef(scores[0], taken)[0, 1] > 0.5


def test_of_what_was_tried_the_best_is_taken(rehearsal, monkeypatch):
    one = Rehearsal(rehearsal.task, rehearsal.relevant)
    grid = {"regularization": (1e6, 50.0, 1.0)}
    monkeypatch.setitem(tuning.BASELINES, "ease", tuning.BASELINES["ease"]._replace(grid=grid))
    told = tuning.tune("ease", one)
    reached = {tried["settings"]["regularization"]: tried["validation_ndcg_at_10"] for tried in told["tried"]}
    assert [*reached] == [1e6, 50.0, 1.0]
    assert reached[told["settings"]["regularization"]] == told["validation_ndcg_at_10"] == max(reached.values())
    assert len(set(reached.values())) > 1


def test_what_was_made_is_kept_until_the_data_changes(shop, held, monkeypatch):
    ids, task_ = task.evaluation(shop.config, shop.zones, held)
    first, tuned = made.make(shop.config, shop.zones, held, ids, task_, ["popular_recently"])
    assert [*first] == ["popular_recently"]
    more, _ = made.make(shop.config, shop.zones, held, ids, task_, ["item_knn_cosine"])
    assert [*more] == ["popular_recently", "item_knn_cosine"]
    assert np.array_equal(more["popular_recently"], first["popular_recently"])
    assert read_json(f"{shop.zones.baselines}/tuned.json")["popular_recently"] == tuned["popular_recently"]
    seen = task_.histories.toarray() > 0
    for codes in more.values():
        assert codes.shape == (made_shop.USERS, 10)
        assert not seen[np.arange(len(codes))[:, None], codes - 3].any()

    def never(*_):
        raise AssertionError("tuned again, though nothing changed")

    with monkeypatch.context() as patched:
        patched.setattr(made, "tune", never)
        made.make(shop.config, shop.zones, held, ids, task_, [*more])
    write_manifest(shop.zones.features, "features-2")
    assert [*made.make(shop.config, shop.zones, held, ids, task_, ["popular"])[0]] == ["popular"]
