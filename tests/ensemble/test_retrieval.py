"""Candidates: each source against its plainest form, and what must never be among them."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import FIRST_VALUE
from contracts.requests import Request
from ensemble.steps.chain import Chain
from ensemble.steps.lookup import catalogue_mask
from tests.ensemble.asking import ask, shopped
from tests.ensemble.made_up import CUT, ITEMS, World

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


def test_the_best_of_the_two_tower_are_all_among_the_candidates(chain: Chain, world: World, asked) -> None:
    every = chain.retrieval.two_tower(asked.query)
    for row, ids, found, user in zip(every, *asked.candidates, USERS):
        allowed = row.copy()
        allowed[[int(item.split("-")[1]) for item in world.row(user, CUT)["seen_item_ids"]]] = -np.inf
        best = np.argsort(-allowed)[: world.config.serve.two_tower_candidates] + FIRST_VALUE
        best = best[allowed[best - FIRST_VALUE] > -np.inf]
        assert set(best) <= set(ids)
        held = ids > 0
        assert np.allclose(found[held, 0], row[ids[held] - FIRST_VALUE]), "every candidate has its two-tower score"


def test_item_item_scores_are_the_sum_of_what_seen_items_say(chain: Chain, release, world: World) -> None:
    table = release.arrays("retrieval/1/item_item.npz")
    rows = [world.row(user, CUT) for user in USERS]
    query = chain.lookup.query([chain.lookup.envelope(Request("any"), row, CUT, 0) for row in rows], rows)
    fast = chain.retrieval.similar(catalogue_mask(query.seen_items, ITEMS))
    for row, scores in zip(rows, fast):
        naive = np.zeros(ITEMS)
        for item in set(row["seen_item_ids"]) | set(row["recent_item_ids"]):
            index = world.item_ids.index(item)
            for code, weight in zip(table["neighbours"][index], table["weights"][index]):
                if code >= FIRST_VALUE:
                    naive[code - FIRST_VALUE] += weight
        assert np.allclose(scores, naive)


def test_a_user_without_a_seen_item_has_no_item_item_score(chain: Chain) -> None:
    answered = chain.answer([Request("nobody")], [chain.lookup.unknown_row()], [CUT], 0)
    ids, scores = answered.candidates
    assert (scores[..., 1] == -np.inf).all()
    assert np.isfinite(scores[ids > 0][:, 0]).all()


def test_candidates_come_in_the_order_of_the_merged_score(chain: Chain, world: World, asked) -> None:
    weight = world.config.serve.similar_weight
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
