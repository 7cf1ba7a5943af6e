"""Answers: never short, never empty, never twice, never seen; and what moves them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import FIRST_VALUE
from contracts.requests import Answer, Request, Source
from ensemble.steps.blend import ColdStart
from ensemble.steps.chain import Chain
from tests.ensemble.asking import ask, assert_same, codes, departments, shopped
from tests.ensemble.made_up import BLEND, CUT, DEPARTMENTS, ITEMS, USERS, World


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_answers_of_a_batch_are_those_of_each_request_alone(chain: Chain, world: World, data: st.DataObject) -> None:
    draw = data.draw
    asked = draw(
        st.lists(
            st.tuples(
                st.integers(-1, USERS - 1),
                st.integers(1, 100),
                st.sampled_from(["", "region-1", "nowhere"]),
                st.sampled_from([CUT, CUT - 3 * 86_400_000, CUT + 1_800_000]),
                st.lists(st.sampled_from(world.item_ids), max_size=5, unique=True),
            ),
            min_size=1,
            max_size=6,
        )
    )
    requests = [
        Request(f"user-{user}", k=k, region=region, exclude_ids=tuple(out)) for user, k, region, _, out in asked
    ]
    as_of = [instant for _, _, _, instant, _ in asked]
    rows = [world.row(user, instant) if user >= 0 else chain.lookup.unknown_row() for user, _, _, instant, _ in asked]
    together = chain.answer(requests, rows, as_of, 0).answers
    for request, row, instant, answer in zip(requests, rows, as_of, together):
        (alone,) = chain.answer([request], [row], [instant], 0).answers
        assert_same(answer, alone)
        assert len(set(answer.item_ids)) == len(answer.item_ids) == request.k
        assert not set(answer.item_ids) & {*row["seen_item_ids"], *row["recent_item_ids"], *request.exclude_ids}
        assert sorted(answer.scores, reverse=True) == list(answer.scores)


def test_a_user_never_seen_is_answered_by_trending(chain: Chain) -> None:
    (answer,) = chain.answer([Request("nobody", k=20)], [chain.lookup.unknown_row()], [CUT], 0).answers
    trending = chain.popularity.trending(CUT, "")
    assert codes(answer) == (np.argsort(-trending, kind="stable")[:20] + FIRST_VALUE).tolist()
    assert set(answer.sources) == {Source.TRENDING}
    assert answer.feature_age_ms == -1


def test_a_region_has_its_own_trending_answer(chain: Chain) -> None:
    row = chain.lookup.unknown_row()
    here, there = (chain.answer([Request("nobody", region=f"region-{i}")], [row], [CUT], 0).answers[0] for i in (1, 2))
    assert here.item_ids != there.item_ids


def test_what_a_user_knows_well_is_answered_by_taste(chain: Chain, world: World) -> None:
    """Groups buy mostly of two departments: the planted preference must come back."""
    shares = []
    for answer, user in zip(ask(chain, world, range(40)).answers, range(40)):
        shares.append(np.isin(departments(world, answer), [user % 4 * 2, user % 4 * 2 + 1]).mean())
    (common,) = chain.answer([Request("nobody")], [chain.lookup.unknown_row()], [CUT], 0).answers
    unknown = np.mean([np.isin(departments(world, common), [g * 2, g * 2 + 1]).mean() for g in range(4)])
    assert np.mean(shares) > unknown + 0.25


def test_three_purchases_of_another_department_move_the_list_towards_it(chain: Chain, world: World) -> None:
    rises = []
    for user in range(40):
        foreign = (user % 4 * 2 + 3) % DEPARTMENTS
        before, after = (
            chain.answer([Request(world.user_ids[user])], [row], [CUT], 0).answers[0]
            for row in (world.row(user, CUT), shopped(world, user, foreign))
        )
        rises.append((departments(world, after) == foreign).mean() - (departments(world, before) == foreign).mean())
    assert np.mean(np.array(rises) > 0) >= 0.9
    assert np.mean(rises) >= 0.2


def test_a_user_never_seen_becomes_personal_by_three_clicks(chain: Chain, world: World) -> None:
    (answer,) = chain.answer([Request("new")], [shopped(world, -1, 4)], [CUT], 0).answers
    assert (departments(world, answer) == 4).mean() >= 0.5
    assert Source.TRENDING not in answer.sources[:5]


def test_without_session_weight_a_session_counts_no_more_than_any_purchase(chain: Chain, world: World) -> None:
    off = dataclasses.replace(chain.tables, serve=dataclasses.replace(chain.tables.serve, session_weight=0.0))
    step = type(chain.cold_start)(off, chain.popularity, BLEND, chain.cold_start.vectors)
    answered = chain.answer([Request("user-0")], [shopped(world, 0, 5)], [CUT], 0)
    (without,) = step(answered.envelopes, answered.query, answered.candidates, answered.ranked)
    assert (departments(world, without) == 5).sum() < (departments(world, answered.answers[0]) == 5).sum()


def test_a_better_probability_is_a_better_place(chain: Chain, world: World) -> None:
    answered = ask(chain, world, [4], k=50)
    ids = answered.candidates.candidate_ids
    last = int(np.flatnonzero(ids[0] == codes(answered.answers[0])[-1])[0])
    raised = answered.ranked.copy()
    raised[0, last] = 0.999
    (answer,) = chain.cold_start(answered.envelopes, answered.query, answered.candidates, raised)
    assert codes(answer).index(ids[0, last]) < 25 < 49 == codes(answered.answers[0]).index(ids[0, last])


def test_without_the_ranker_the_answer_is_in_retrievals_order(chain: Chain, world: World) -> None:
    answered = ask(chain, world, [4], k=30)
    heavy = [dataclasses.replace(answered.envelopes[0], evidence=10**9)]
    (answer,) = chain.cold_start(heavy, answered.query, answered.candidates, np.full_like(answered.ranked, np.nan))
    assert codes(answer) == answered.candidates.candidate_ids[0, :30].tolist()


@pytest.mark.parametrize("weight", [0.3, 1e6])
def test_of_two_blends_of_one_order_the_wider_leans_on_the_personal_part(
    chain: Chain, world: World, weight: float
) -> None:
    """The order among the personal scores is the blend's; how far they lie apart is the spread's."""
    answered = ask(chain, world, [4], k=60)
    inputs = answered.query, answered.candidates, answered.ranked

    def answer(evidence: int, spread: float) -> list[int]:
        blend = {**BLEND, "retrieval_weight": weight, "spread": spread}
        step = ColdStart(chain.tables, chain.popularity, blend, chain.cold_start.vectors)
        (found,) = step([dataclasses.replace(answered.envelopes[0], evidence=evidence)], *inputs)
        return codes(found)

    known = 10**9
    assert answer(known, 1.0 / weight) == answer(known, 0.5 / weight)
    if weight == 1e6:
        assert answer(known, 1.0 / weight)[:40] == answered.candidates.candidate_ids[0, :40].tolist()
    narrow, wide = (answer(2, spread / weight) for spread in (0.01, 0.3))
    trending = np.argsort(-chain.popularity.trending(CUT, "region-0"), kind="stable") + FIRST_VALUE
    first = {*trending[np.isin(trending, answered.candidates.candidate_ids)][:10]}
    assert len(first & {*narrow[:10]}) > len(first & {*wide[:10]})


def test_without_candidates_the_answer_is_trending_less_what_is_seen_or_excluded(chain: Chain, world: World) -> None:
    answered = ask(chain, world, [4], k=40, exclude_ids=tuple(world.item_ids[:9]))
    none = answered.candidates._replace(candidate_ids=np.zeros_like(answered.candidates.candidate_ids))
    (answer,) = chain.cold_start(answered.envelopes, answered.query, none, np.full_like(answered.ranked, np.nan))
    order = np.argsort(-chain.popularity.trending(CUT, "region-0"), kind="stable")
    row = world.row(4, CUT)
    out = {*row["seen_item_ids"], *row["recent_item_ids"], *world.item_ids[:9]}
    assert list(answer.item_ids) == [world.item_ids[i] for i in order if world.item_ids[i] not in out][:40]
    assert set(answer.sources) == {Source.TRENDING}


def test_more_than_the_candidates_is_made_up_with_trending(chain: Chain, world: World) -> None:
    (answer,) = ask(chain, world, [2], k=100).answers
    assert len(answer.item_ids) == 100
    assert answer.sources[-1] == Source.TRENDING


def test_when_nearly_all_is_seen_the_answer_is_all_that_is_left(chain: Chain, world: World) -> None:
    row = {**world.row(2, CUT), "seen_item_ids": world.item_ids[:64]}
    request = Request("user-2", k=100, exclude_ids=tuple(world.item_ids[64 : ITEMS - 30]))
    (answer,) = chain.answer([request], [row], [CUT], 0).answers
    left = set(world.item_ids[ITEMS - 30 :]) - set(row["recent_item_ids"])
    assert set(answer.item_ids) == left


@pytest.mark.parametrize("exclude", [True, False])
def test_seen_items_come_back_only_where_the_settings_allow_it(chain: Chain, world: World, exclude: bool) -> None:
    serve = dataclasses.replace(chain.tables.serve, exclude_seen=exclude)
    tables = dataclasses.replace(chain.tables, serve=serve)
    retrieval = object.__new__(type(chain.retrieval))
    retrieval.__dict__ = {**chain.retrieval.__dict__, "_tables": tables}
    answered = ask(chain, world, [0, 1, 2])
    found = retrieval(answered.envelopes, answered.query)
    step = type(chain.cold_start)(tables, chain.popularity, BLEND, chain.cold_start.vectors)
    answers = step(answered.envelopes, answered.query, found, chain.ranker(answered.envelopes, answered.query, found))
    again = [set(a.item_ids) & set(world.row(u, CUT)["seen_item_ids"]) for u, a in enumerate(answers)]
    assert any(again) != exclude


def test_a_trend_weight_moves_what_is_in_demand_of_late_up(chain: Chain, world: World) -> None:
    answered = chain.answer([Request("user-0")], [world.row(0, CUT)], [CUT], 0)
    skipped = np.full_like(answered.ranked, np.nan)
    trend = dict(zip(world.item_ids, chain.popularity.trend(CUT)))

    def mean_trend(weight: float) -> float:
        blend = {**BLEND, "signals": {**BLEND["signals"], "trend": weight}}
        step = type(chain.cold_start)(chain.tables, chain.popularity, blend, chain.cold_start.vectors)
        (answer,) = step(answered.envelopes, answered.query, answered.candidates, skipped)
        return float(np.mean([trend[item] for item in answer.item_ids[:10]]))

    assert mean_trend(0.0) < mean_trend(0.5) < mean_trend(5.0)


def test_where_the_ranker_knows_long_histories_only_the_two_tower_orders_for_who_just_arrived(
    chain: Chain, world: World
) -> None:
    tables = dataclasses.replace(chain.tables, serve=dataclasses.replace(chain.tables.serve, session_weight=0.0))
    row = world.row(7, CUT)
    found = chain.answer([Request("user-7", k=20)], [row], [CUT], 0)
    inputs = found.envelopes, found.query, found.candidates, found.ranked

    def answer(half: float) -> Answer:
        blend = {**BLEND, "retrieval_weight": 0.0, "evidence_half": 0.001, "ranker_evidence_half": half}
        return ColdStart(tables, chain.popularity, blend, chain.cold_start.vectors)(*inputs)[0]

    ids, scores = found.candidates
    order = np.argsort(-scores[0, :, 0], kind="stable")
    assert codes(answer(1e9)) == ids[0][order][:20].tolist()
    order = np.argsort(-np.nan_to_num(found.ranked[0], nan=-1.0), kind="stable")
    assert codes(answer(0.0))[:5] == ids[0][order][:5].tolist()


def test_the_more_must_be_known_the_more_of_the_answer_is_trending(chain: Chain, world: World) -> None:
    found = chain.answer([Request("user-7", k=20)], [world.row(7, CUT)], [CUT], 0)

    def trending(half: float) -> int:
        blend = {**BLEND, "evidence_half": half}
        step = ColdStart(chain.tables, chain.popularity, blend, chain.cold_start.vectors)
        (answer,) = step(found.envelopes, found.query, found.candidates, found.ranked)
        return answer.sources.count("trending")

    assert trending(0.001) < trending(1e9) == 20
