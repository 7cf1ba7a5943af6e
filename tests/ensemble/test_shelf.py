"""What may be listed: rules, availability, filters; none of them makes an answer shorter than it must be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import FIRST_VALUE
from contracts.requests import Answer, CandidateFilter, Request
from ensemble.steps.chain import Chain
from ensemble.steps.envelope import Envelope
from ensemble.steps.release import Release
from ensemble.steps.shelf import Shelves
from tests.ensemble.asking import ask, codes, departments
from tests.ensemble.made_up import CUT, DEPARTMENTS, ITEMS, World

USERS = range(12)


@pytest.fixture
def own(release: Release) -> Chain:
    """A chain whose shelf a test may change."""
    return Chain(release)


def ruled(release: Release, **rules: dict) -> Shelves:
    """Shelves of the release under other rules."""
    tables = Chain(release).tables
    serve = dataclasses.replace(tables.serve, **rules)
    arrays = release.arrays("feature_lookup/1/items.npz")
    return Shelves(tables.features, serve, tables.vocabularies, tables.item_codes, arrays["price"])


def brands(world: World, blocked: np.ndarray) -> set[int]:
    return {*world.brand[~blocked].tolist()}


FILTERS = st.builds(
    CandidateFilter,
    category=st.lists(st.sampled_from([*(f"dep-{i}" for i in range(DEPARTMENTS)), "none such"]), max_size=3).map(tuple),
    price_min=st.none() | st.floats(0, 12),
    price_max=st.none() | st.floats(0, 12),
)


@settings(max_examples=60, deadline=None)
@given(FILTERS, st.integers(0, 11), st.integers(1, 100), st.sampled_from([0.0, 0.5]))
def test_an_answer_is_all_that_fits_a_filter_or_as_many_as_were_asked_for(
    chain: Chain, world: World, wish: CandidateFilter, user: int, k: int, diversity: float
) -> None:
    (answer,) = ask(chain, world, [user], k=k, candidate_filter=wish, diversity=diversity).answers
    row = world.row(user, CUT)
    seen = {*row["seen_item_ids"], *row["recent_item_ids"]}
    named = {int(name.split("-")[1]) for name in wish.category if name != "none such"}
    low, high = wish.price_min, wish.price_max
    fits = np.isin(world.department, [*named]) | (not wish.category)
    fits &= (low is None) | (world.price >= (low or 0))
    fits &= (high is None) | (world.price <= (high or 0))
    allowed = {item for item, fit in zip(world.item_ids, fits) if fit} - seen
    assert {*answer.item_ids} <= allowed
    assert len(answer.item_ids) == len({*answer.item_ids}) == min(k, len(allowed))
    short = [skipped["reason"] for skipped in answer.skipped]
    assert short == ([] if len(allowed) >= k else [f"{len(allowed)} of {k} items: no others may be listed"])


def test_a_filtered_answer_is_still_the_users_own(chain: Chain, world: World) -> None:
    """Candidates are sought among what fits, not thrown away after they were found."""
    wish = CandidateFilter(category=("dep-1",))
    answers = ask(chain, world, [0, 1], k=10, candidate_filter=wish).answers
    assert all((departments(world, answer) == 1).all() and len(answer.item_ids) == 10 for answer in answers)
    assert answers[0].item_ids != answers[1].item_ids
    assert "personal" in {*answers[0].sources, *answers[1].sources} | {"similar"}


def test_rules_never_list_some_values_and_only_list_others(release: Release, world: World) -> None:
    envelope = Envelope("u", CUT, 0)
    never = ruled(release, never={"brand": ("brand-1", "brand-2", "none such")}).now.blocked(envelope)
    assert brands(world, never) == {*range(12)} - {1, 2}
    only = ruled(release, only={"brand": ("brand-1",), "department": ("dep-0", "dep-1")}).now.blocked(envelope)
    assert brands(world, only) == {1} and {*world.department[~only].tolist()} <= {0, 1}


def test_a_rule_holds_for_a_value_that_only_an_update_brings(release: Release) -> None:
    shelves = ruled(release, never={"department": ("recalled",)})
    assert not shelves.now.blocked(Envelope("u", CUT, 0)).any()
    shelves.take({"item-7": {"department": "recalled"}, "item-8": {"department": "unheard of"}})
    assert np.flatnonzero(shelves.now.blocked(Envelope("u", CUT, 0))).tolist() == [7]


def test_what_is_not_available_is_not_answered_until_it_is_back(own: Chain, world: World) -> None:
    before = ask(own, world, USERS).answers
    gone = {*before[0].item_ids[:5], *before[3].item_ids[:5]}
    own.tables.shelves.take({item: {"available": "false"} for item in gone})
    without = ask(own, world, USERS).answers
    assert all(len(answer.item_ids) == 20 and not gone & {*answer.item_ids} for answer in without)
    all_in = ask(own, world, USERS, candidate_filter=CandidateFilter(available=False)).answers
    own.tables.shelves.take({item: {"available": "true"} for item in gone})
    assert [a.item_ids for a in ask(own, world, USERS).answers] == [a.item_ids for a in before]
    assert [a.item_ids for a in all_in] == [a.item_ids for a in before]


def test_what_went_after_retrieval_looked_is_not_answered(own: Chain, world: World) -> None:
    answered = ask(own, world, [4])
    gone = answered.answers[0].item_ids[:3]
    own.tables.shelves.take({item: {"available": "false"} for item in gone})
    (answer,) = own.cold_start(answered.envelopes, answered.query, answered.candidates, answered.ranked)
    assert len(answer.item_ids) == 20 and not {*gone} & {*answer.item_ids}


def test_a_moved_item_is_filtered_by_where_it_is_now(own: Chain, world: World) -> None:
    item = int(np.flatnonzero(world.department == 2)[0])
    own.tables.shelves.take({world.item_ids[item]: {"department": "dep-5", "price": "123.5"}, "new item": {}})
    shelf = own.tables.shelves.now
    there = Envelope("u", CUT, 0, categories=own.lookup.wishes(wishing("dep-5"))["categories"])
    here = Envelope("u", CUT, 0, categories=own.lookup.wishes(wishing("dep-2"))["categories"])
    assert not shelf.blocked(there)[item] and shelf.blocked(here)[item]
    dear = shelf.blocked(Envelope("u", CUT, 0, price_min=123.5, price_max=123.5))
    assert np.flatnonzero(~dear).tolist() == [item]


def wishing(department: str) -> Request:
    return Request("u", candidate_filter=CandidateFilter(category=(department,)))


def test_recorded_requests_know_nothing_of_updates(own: Chain, world: World) -> None:
    own.tables.shelves.take({item: {"available": "false"} for item in world.item_ids[:200]})
    assert own.tables.shelves.of(Envelope("u", CUT, 0)).missing.sum() == 200
    assert own.tables.shelves.of(Envelope("u", CUT, 0, recorded=True)).missing.sum() == 0


def test_diversity_makes_lists_less_alike_and_keeps_the_first(chain: Chain, world: World) -> None:
    vectors = chain.cold_start.vectors

    def likeness(answer: Answer) -> float:
        held = vectors[np.array(codes(answer)) - FIRST_VALUE]
        return float((held @ held.T)[np.triu_indices(len(held), 1)].mean())

    lists = {d: ask(chain, world, USERS, k=10, diversity=d).answers for d in (0.0, 0.3, 0.7, 1.0)}
    means = [np.mean([likeness(answer) for answer in answers]) for answers in lists.values()]
    assert means == sorted(means, reverse=True) and means[0] > means[-1] + 0.1
    assert len({tuple(answer.item_ids[0] for answer in answers) for answers in lists.values()}) == 1
    assert [a.item_ids for a in lists[0.0]] == [a.item_ids for a in ask(chain, world, USERS, k=10).answers]
    assert ITEMS > 100
