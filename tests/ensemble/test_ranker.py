"""The ranker's features, each against a loop over candidates, and its probabilities."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from contracts.features import FIRST_VALUE, MS_PER_DAY, MS_PER_HOUR, ranker_categorical, ranker_continuous
from contracts.requests import Request
from ensemble.steps.chain import Answered, Chain
from ensemble.steps.ranker import RankerFeatures
from ensemble.steps.release import Release
from tests.ensemble.asking import ask
from tests.ensemble.made_up import CUT, REGIONS, World

USERS = [0, 3, 9]


@pytest.fixture(scope="module")
def asked(chain: Chain, world: World) -> Answered:
    return ask(chain, world, USERS)


@pytest.fixture(scope="module")
def features(chain: Chain, asked: Answered) -> tuple[np.ndarray, np.ndarray]:
    return RankerFeatures(chain.tables, chain.popularity)(asked.envelopes, asked.query, asked.candidates)


def column(world: World, features: tuple[np.ndarray, np.ndarray], name: str) -> np.ndarray:
    return features[1][..., ranker_continuous(world.config.features).index(name)]


def each_candidate(asked: Answered):
    for i, (ids, user) in enumerate(zip(asked.candidates.candidate_ids, USERS)):
        for j in np.flatnonzero(ids)[::7]:
            yield i, int(j), int(ids[j]) - FIRST_VALUE, user


def test_categorical_columns_are_the_users_the_requests_and_the_items(world: World, features, asked: Answered) -> None:
    names = ranker_categorical(world.config.features)
    assert features[0].shape[2] == len(names) == 5
    for i, j, item, user in each_candidate(asked):
        age = user % 5 + FIRST_VALUE if user % 5 < 4 else 2
        # The log's own time of the cut is two o'clock in Paris.
        codes = [user % REGIONS, 2, world.department[item], world.brand[item]]
        assert features[0][i, j].tolist() == [age, *(code + FIRST_VALUE for code in codes)]


def test_category_share_is_the_categorys_part_of_the_decayed_counts(world: World, features, asked: Answered) -> None:
    share = column(world, features, "category_share_720h")
    for i, j, item, user in each_candidate(asked):
        log = world.log(user, CUT)
        weights = [2 ** (-(CUT - x.event_time) / (720 * MS_PER_HOUR)) for x in log]
        same = sum(w for w, x in zip(weights, log) if x.category == f"dep-{world.department[item]}")
        assert share[i, j] == pytest.approx(same / sum(weights), rel=1e-4)


def test_recent_share_weighs_by_age_and_seen_share_counts_items(world: World, features, asked: Answered) -> None:
    recent, seen = column(world, features, "recent_share_brand"), column(world, features, "seen_share_department")
    for i, j, item, user in each_candidate(asked):
        row = world.row(user, CUT)
        ids = [int(x.split("-")[1]) for x in row["recent_item_ids"]]
        weights = [2 ** (-(CUT - time) / (240 * MS_PER_HOUR)) for time in row["recent_event_times"]]
        same = sum(w for w, x in zip(weights, ids) if world.brand[x] == world.brand[item])
        assert recent[i, j] == pytest.approx(same / sum(weights), rel=1e-4)
        known = {int(x.split("-")[1]) for x in (*row["seen_item_ids"], *row["recent_item_ids"])}
        same = sum(world.department[x] == world.department[item] for x in known)
        assert seen[i, j] == pytest.approx(same / len(known))


def test_popularity_evidence_and_numbers_are_the_items_and_the_users(
    chain: Chain, world: World, features, asked: Answered
) -> None:
    counts, trend = chain.popularity.counts(CUT, 720), chain.popularity.trend(CUT)
    for i, j, item, user in each_candidate(asked):
        assert column(world, features, "popularity_720h")[i, j] == pytest.approx(np.log1p(counts[item]))
        assert column(world, features, "trend")[i, j] == pytest.approx(trend[item], rel=1e-4)
        assert column(world, features, "evidence")[i, j] == pytest.approx(np.log1p(len(world.log(user, CUT))))
        price = 0.0 if np.isnan(world.price[item]) else (world.price[item] - 6.0) / 4.0
        assert column(world, features, "price")[i, j] == pytest.approx(price, rel=1e-4)


def test_the_trend_of_a_column_is_that_of_all_items_of_the_candidates_value(
    chain: Chain, world: World, features, asked: Answered
) -> None:
    half_lives = world.config.features.popularity_half_lives_hours
    short, long = (chain.popularity.counts(CUT, hours) for hours in (half_lives[0], half_lives[-1]))
    age = np.arange(CUT // MS_PER_DAY - world.time.min() // MS_PER_DAY)
    weights = [np.exp2(-age * 24 / hours).sum() for hours in (half_lives[0], half_lives[-1])]
    for i, j, item, _ in each_candidate(asked):
        same = world.brand == world.brand[item]
        wanted = np.log((short[same].sum() / weights[0]) / (long[same].sum() / weights[1]))
        assert column(world, features, "trend_brand")[i, j] == pytest.approx(wanted, abs=0.02)


def test_seen_counts_and_activity_say_how_much_not_which_part(world: World, features, asked: Answered) -> None:
    seen, activity = column(world, features, "seen_count_department"), column(world, features, "activity_720h")
    for i, j, item, user in each_candidate(asked):
        row = world.row(user, CUT)
        known = {int(x.split("-")[1]) for x in (*row["seen_item_ids"], *row["recent_item_ids"])}
        same = sum(world.department[x] == world.department[item] for x in known)
        assert seen[i, j] == pytest.approx(np.log1p(same), rel=1e-5)
        held = sum(2 ** (-(CUT - x.event_time) / (720 * MS_PER_HOUR)) for x in world.log(user, CUT))
        assert activity[i, j] == pytest.approx(np.log1p(held), rel=1e-4)


def test_session_dwell_is_the_logarithm_of_the_minutes(chain: Chain, world: World) -> None:
    rows = [{**world.row(user, CUT), "session_dwell_ms": ms} for user, ms in ((0, 0), (3, 90_000))]
    answered = chain.answer([Request("0"), Request("3")], rows, [CUT, CUT], 0)
    made = RankerFeatures(chain.tables, chain.popularity)(answered.envelopes, answered.query, answered.candidates)
    dwell = column(world, made, "session_dwell")
    assert np.allclose(dwell[0], 0) and np.allclose(dwell[1], np.log1p(1.5))


def test_scores_of_retrieval_are_standardised_over_the_candidates(world: World, features, asked: Answered) -> None:
    valid = asked.candidates.candidate_ids > 0
    for name in ("two_tower_score", "similar_score"):
        for row, held in zip(column(world, features, name), valid):
            assert row[held].mean() == pytest.approx(0, abs=1e-4)
            assert row[held].std() == pytest.approx(1, abs=1e-3)


def test_similar_log_is_the_same_however_great_the_scores_of_a_retrieval_are(
    chain: Chain, world: World, features, asked: Answered
) -> None:
    greater = asked.candidates._replace(candidate_scores=asked.candidates.candidate_scores * 7)
    refitted = RankerFeatures(chain.tables, chain.popularity)(asked.envelopes, asked.query, greater)
    mine, other = (column(world, made, "similar_log") for made in (features, refitted))
    np.testing.assert_allclose(mine, other, atol=1e-5)
    held = np.where(asked.candidates.candidate_ids > 0, asked.candidates.candidate_scores[..., 1], -np.inf)
    assert (mine[np.arange(len(mine)), held.argmax(axis=1)] == 0).all() and (mine <= 0).all() and mine.std() > 0.1


def test_no_feature_is_ever_nan_not_even_of_a_user_never_seen(chain: Chain, world: World) -> None:
    answered = chain.answer([Request("nobody")], [chain.lookup.unknown_row()], [CUT], 0)
    made = RankerFeatures(chain.tables, chain.popularity)(answered.envelopes, answered.query, answered.candidates)
    assert np.isfinite(made[1]).all()
    for name in ("category_share_1h", "category_share_720h", "recent_share_brand", "seen_share_brand", "evidence"):
        assert not column(world, made, name).any()


def test_probabilities_are_the_calibrated_logits_and_padding_has_none(
    chain: Chain, release: Release, features, asked: Answered
) -> None:
    valid = asked.candidates.candidate_ids > 0
    model = onnxruntime.InferenceSession(release.read("ranker/1/ranker.onnx"))
    (logit,) = model.run(None, {"categorical": features[0][valid], "continuous": features[1][valid]})
    assert np.allclose(asked.ranked[valid], 1 / (1 + np.exp(-(0.9 * logit - 1.0))), atol=1e-6)
    assert np.isnan(asked.ranked[~valid]).all()


def test_without_a_candidate_there_is_nothing_to_rank(chain: Chain, asked: Answered) -> None:
    none = asked.candidates._replace(candidate_ids=np.zeros_like(asked.candidates.candidate_ids))
    assert np.isnan(chain.ranker(asked.envelopes, asked.query, none)).all()
