"""Co-visits as of an instant, by hand: both ways round, from closed buckets, smoothed by what is popular."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.features import FIRST_VALUE, MS_PER_DAY
from contracts.requests import Request
from ensemble.steps.arrays import Candidates, Query
from ensemble.steps.chain import Chain, cold_start
from ensemble.steps.covisits import Covisits
from ensemble.steps.envelope import Envelope
from ensemble.steps.popularity import Popularity
from ensemble.steps.release import Release
from ensemble.steps.retrieval import Retrieval
from ensemble.steps.tables import Buckets, Tables
from ensemble.steps.tables import Covisits as Pairs
from tests.ensemble.asking import ask
from tests.ensemble.made_up import CUT, World

MINUTE = 60_000
NOW = 20_000 * 288  # a midnight, in buckets of five minutes


@pytest.fixture
def tables(chain: Chain) -> Tables:
    """Buckets of five minutes: item 3 then 4 twice, 4 then 3 once an hour later, 5 then 3 in a bucket that is open."""
    features = dataclasses.replace(
        chain.tables.features, bucket_minutes=5, covisit_half_lives_hours=(1.0,), live_items=True
    )
    pairs = Pairs(
        number=np.array([NOW - 13, NOW - 1, NOW], np.int32),
        item=np.array([3, 4, 5], np.int32),
        following=np.array([4, 3, 3], np.int32),
        count=np.array([2.0, 1.0, 8.0]),
    )
    buckets = Buckets(
        number=np.array([NOW - 1, NOW - 1, NOW], np.int32),
        region=np.zeros(3, np.int32),
        item=np.array([3, 4, 5]),
        count=np.array([1.0, 3.0, 9.0]),
        regions={"": 0},
    )
    return dataclasses.replace(chain.tables, features=features, covisits=pairs, buckets=buckets)


def asked(*newest: int) -> tuple[list[Envelope], Query]:
    recent = np.array([[code, 0] for code in newest], np.int64)
    nothing = np.zeros((len(newest), 1))
    return [Envelope("u", NOW * 5 * MINUTE, 0)] * len(newest), Query(nothing, recent, nothing, nothing, nothing)


def test_counts_are_decayed_both_ways_and_of_closed_buckets(tables: Tables) -> None:
    found = Covisits(tables, Popularity(tables)).counts(*asked(3, 4, 5, 0, 2), half_life_hours=1.0)
    # The newest closed bucket weighs 1, the one an hour before it a half.
    assert found[:, :3].tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert not found[:, 3:].any()


def test_without_co_visits_the_share_is_that_of_popularity_and_they_move_it(tables: Tables) -> None:
    covisits, ids = Covisits(tables, Popularity(tables)), np.array([[3, 4, 5]] * 2)
    envelopes, query = asked(0, 3)
    found = covisits.features(envelopes, query, ids)
    share = np.exp(found["covisit_1h"]) - 1e-5
    assert np.allclose(share[0], [1 / 4, 3 / 4, 0])
    assert np.allclose(share[1], [20 / 4 / 22, (2 + 20 * 3 / 4) / 22, 0])
    assert np.allclose(found["covisit_evidence"][:, 0], [0, np.log1p(2)])


def test_earlier_items_of_the_session_have_a_column_of_their_own(tables: Tables) -> None:
    envelopes, query = asked(2)
    query = query._replace(recent_items=np.array([[5, 3, 0, 3, 3]]))
    found = Covisits(tables, Popularity(tables)).features(envelopes, query, np.array([[3, 4, 5]]))
    # Item 3 twice among the three before the newest: 4 co-visits with item 4; of the newest, 5, none is closed.
    assert np.allclose(np.exp(found["covisit_earlier"][0]) - 1e-5, [5 / 24, (4 + 15) / 24, 0])
    assert np.allclose(np.exp(found["covisit_1h"][0]) - 1e-5, [1 / 4, 3 / 4, 0])


def test_an_item_of_a_live_catalogue_appears_when_its_first_bucket_closes(tables: Tables) -> None:
    popularity, closing = Popularity(tables), (NOW + 1) * 5 * MINUTE
    assert popularity.appeared(closing - 1)[:3].tolist() == [True, True, False]
    assert popularity.appeared(closing)[:4].tolist() == [True, True, True, False]
    assert popularity.age_hours(closing)[:4].tolist() == [1 / 6, 1 / 6, 1 / 12, 0]
    fixed = dataclasses.replace(tables, features=dataclasses.replace(tables.features, live_items=False))
    assert Popularity(fixed).appeared(0).all(), "whatever was trained on may always be answered"


def test_no_list_holds_an_item_before_the_bucket_that_names_it_is_closed(
    chain: Chain, release: Release, world: World
) -> None:
    """The item that every source likes most is first met on the day of the cut: through retrieval and to the end."""
    buckets, day = chain.tables.buckets, CUT // MS_PER_DAY
    newest = int(ask(chain, world, [0]).candidates.candidate_ids[0, 0])
    first = {"number": day, "region": 0, "item": newest, "count": 1.0}
    columns = {name: np.append(getattr(buckets, name)[buckets.item != newest], value) for name, value in first.items()}
    order = np.lexsort((columns["number"], columns["region"]))
    live = dataclasses.replace(
        chain.tables,
        buckets=dataclasses.replace(buckets, **{name: column[order] for name, column in columns.items()}),
        features=dataclasses.replace(chain.tables.features, live_items=True),
    )
    popularity = Popularity(live)
    retrieval, last = Retrieval(live, popularity, release), cold_start(live, popularity, release)
    row = world.row(0, CUT)
    query = chain.lookup.query([chain.lookup.envelope(Request(world.user_ids[0]), row, CUT, 0)], [row])
    for as_of, there in ((CUT, False), (CUT + MS_PER_DAY - 1, False), (CUT + MS_PER_DAY, True)):
        envelope = [chain.lookup.envelope(Request(world.user_ids[0], k=100), row, as_of, 0)]
        candidates = retrieval(envelope, query)
        assert (newest in candidates.candidate_ids) == there
        nothing = Candidates(*(np.zeros_like(part) for part in candidates))
        for some in (candidates, nothing):  # and in the list that trending fills up
            (answer,) = last(envelope, query, some, np.full(some.candidate_ids.shape, np.nan, np.float32))
            assert there or world.item_ids[newest - FIRST_VALUE] not in answer.item_ids
