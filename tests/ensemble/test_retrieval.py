"""Candidates: each source against its plainest form, and what must never be among them."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import FIRST_VALUE, PROPOSING, SOURCES
from contracts.requests import Request
from ensemble.steps.arrays import Candidates
from ensemble.steps.chain import Chain
from ensemble.steps.lookup import catalogue_mask
from ensemble.steps.release import Release
from ensemble.steps.retrieval import Retrieval
from ensemble.steps.sources import ALS, USER_USER, signals
from tests.ensemble.asking import ask, shopped
from tests.ensemble.made_up import BLEND, CUT, ITEMS, World
from tests.ensemble.made_up import USERS as USERS_OF_WORLD

USERS = [0, 1, 2, 7, 13]


@pytest.fixture(scope="module")
def asked(chain: Chain, world: World):
    return ask(chain, world, USERS)


def test_candidates_are_distinct_and_neither_seen_nor_excluded(chain: Chain, world: World) -> None:
    excluded = tuple(world.item_ids[:30])
    answered = ask(chain, world, USERS, exclude_ids=excluded)
    for ids, user in zip(answered.candidates.candidate_ids, USERS):
        held = ids[ids > 0]
        assert len(set(held)) == len(held) > 30
        seen = {int(item.split("-")[1]) + FIRST_VALUE for item in world.row(user, CUT)["seen_item_ids"]}
        assert not seen & set(held.tolist())
        assert held.min() >= FIRST_VALUE + 30


def test_padding_comes_last_and_has_no_score(asked) -> None:
    for ids, scores in zip(*asked.candidates):
        number = (ids > 0).sum()
        assert (ids[:number] > 0).all()
        assert (scores[number:] == -np.inf).all()


def test_item_item_scores_are_the_sum_of_what_seen_items_say(chain: Chain, release, world: World) -> None:
    table = release.arrays("retrieval/1/item_item.npz")
    rows = [world.row(user, CUT) for user in USERS]
    query = chain.lookup.query([chain.lookup.envelope(Request("any"), row, CUT, 0) for row in rows], rows)
    fast = chain.retrieval.sources.similar(catalogue_mask(query.seen_items, ITEMS))
    for row, scores in zip(rows, fast):
        naive = np.zeros(ITEMS)
        for item in set(row["seen_item_ids"]) | set(row["recent_item_ids"]):
            index = world.item_ids.index(item)
            for code, weight in zip(table["neighbours"][index], table["weights"][index]):
                if code >= FIRST_VALUE:
                    naive[code - FIRST_VALUE] += weight
        assert np.allclose(scores, naive)


def test_als_scores_are_products_of_the_sum_of_a_user_s_items(chain: Chain, world: World, asked) -> None:
    seen = catalogue_mask(asked.query.seen_items, ITEMS)
    expected = [world.factors[mask].sum(axis=0) @ world.factors.T for mask in seen]
    assert np.allclose(chain.retrieval.sources.als(seen), expected, atol=1e-4)


def test_user_user_scores_are_those_of_the_most_similar_others(chain: Chain, world: World, asked) -> None:
    """Against the whole matrix of similarities."""
    bought = np.zeros((USERS_OF_WORLD, ITEMS))
    bought[world.user[world.time < CUT], world.item[world.time < CUT]] = 1
    seen = catalogue_mask(asked.query.seen_items, ITEMS)
    found = chain.retrieval.sources.user_user(asked.query, seen)
    for scores, mask, user in zip(found, seen, USERS):
        similarity = bought @ mask / np.sqrt(bought.sum(axis=1) * mask.sum())
        similarity[user] = 0
        nearest = np.argsort(-similarity, kind="stable")[: world.config.serve.user_user_neighbours]
        assert np.allclose(scores, similarity[nearest] @ bought[nearest])


def test_a_user_without_a_seen_item_is_known_to_the_two_tower_alone(chain: Chain) -> None:
    answered = chain.answer([Request("nobody")], [chain.lookup.unknown_row()], [CUT], 0)
    ids, scores = answered.candidates
    assert (scores[..., 1:] == -np.inf).all()
    assert np.isfinite(scores[ids > 0][:, 0]).all()


@pytest.mark.parametrize("source", PROPOSING)
def test_the_best_of_every_source_are_candidates_with_their_scores(
    chain: Chain, world: World, asked, source: str
) -> None:
    seen = catalogue_mask(asked.query.seen_items, ITEMS)
    every = np.where(seen, -np.inf, chain.retrieval.sources(asked.query, seen)[source])
    number = getattr(world.config.serve, f"{source}_candidates")
    for row, ids, scores in zip(every, *asked.candidates):
        assert {*np.argsort(-row, kind="stable")[:number] + FIRST_VALUE} <= {*ids}
        held = ids > 0
        assert np.allclose(scores[held, SOURCES.index(source)], row[ids[held] - FIRST_VALUE], atol=1e-5)


def test_a_source_that_a_release_does_not_have_knows_nobody(chain: Chain, release: Release, asked) -> None:
    files = {name: held for name, held in release.document["files"].items() if name not in (ALS, USER_USER)}
    without = Retrieval(chain.tables, chain.popularity, Release(release.root, {**release.document, "files": files}))
    ids, scores = without(asked.envelopes, asked.query)
    assert (scores[..., 2:] == -np.inf).all()
    assert np.isfinite(scores[ids > 0][:, :2]).all()
    named = signals(asked.envelopes, Candidates(ids, scores), chain.popularity)
    assert not any(named[name].any() for name in ("als_score", "als_log", "user_user_score", "user_user_log"))


def test_candidates_come_in_the_order_of_the_merged_score(asked) -> None:
    weight = BLEND["signals"]["similar_log"]
    for ids, scores in zip(*asked.candidates):
        held = scores[ids > 0]
        two_tower = (held[:, 0] - held[:, 0].mean()) / held[:, 0].std()
        part = np.maximum(held[:, 1] / held[:, 1].max(), 0.005)
        merged = (1 - weight) * two_tower + weight * np.log(part)
        assert (np.diff(merged) <= 1e-5).all()


def test_a_running_session_brings_trending_items_of_its_category(chain: Chain, world: World) -> None:
    foreign = 5  # user 0 buys of departments 0 and 1
    plain, live = (
        chain.answer([Request("user-0")], [row], [CUT], 0) for row in (world.row(0, CUT), shopped(world, 0, foreign))
    )

    def number(answered) -> int:
        ids = answered.candidates.candidate_ids[0]
        return int((world.department[ids[ids > 0] - FIRST_VALUE] == foreign).sum())

    assert number(live) >= number(plain) + 5


def test_a_session_of_long_ago_brings_nothing(chain: Chain, world: World) -> None:
    row = shopped(world, 0, 5, as_of=CUT)
    now = chain.answer([Request("user-0")], [row], [CUT + 24 * 3_600_000], 0)
    off = chain.answer([Request("user-0")], [{**row, "count_categories": []}], [CUT + 24 * 3_600_000], 0)
    assert np.array_equal(now.candidates.candidate_ids, off.candidates.candidate_ids)
