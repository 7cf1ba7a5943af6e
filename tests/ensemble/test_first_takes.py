"""How popular an item is with those who did not know it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.buckets import bucket_ms
from contracts.features import FIRST_VALUE, first_takes_column, ranker_continuous
from ensemble.steps.chain import Chain
from ensemble.steps.ranker import RankerFeatures
from ensemble.steps.tables import Buckets
from tests.ensemble.asking import ask
from tests.ensemble.made_up import CUT, World


@pytest.fixture
def found(chain: Chain, world: World) -> dict[str, np.ndarray]:
    """The columns of one request's candidates: two items first taken a day ago, three times and once; one today."""
    features = dataclasses.replace(chain.tables.features, first_takes=True)
    today = CUT // bucket_ms(features)
    firsts = Buckets(
        number=np.array([today - 1, today - 1, today], np.int32),
        region=np.zeros(3, np.int32),
        item=np.array([0, 1, 2]) + FIRST_VALUE,
        count=np.array([3.0, 1.0, 100.0]),
        regions={"": 0},
    )
    tables = dataclasses.replace(chain.tables, features=features, first_takes=firsts)
    asked = ask(chain, world, [0])
    ids = np.arange(4)[None] + FIRST_VALUE
    candidates = asked.candidates._replace(candidate_ids=ids, candidate_scores=asked.candidates.candidate_scores[:, :4])
    _, values = RankerFeatures(tables, chain.popularity)(asked.envelopes, asked.query, candidates)
    return {name: values[0, :, i] for i, name in enumerate(ranker_continuous(features))}


def test_first_takes_are_a_rate_of_closed_buckets(found: dict[str, np.ndarray], world: World) -> None:
    hours = world.config.features.popularity_half_lives_hours
    for name in map(first_takes_column, hours):
        # One day is known, so that its count is the rate, and what is taken today is not known yet.
        assert np.exp(found[name]) - 0.01 == pytest.approx([3.0, 1.0, 0.0, 0.0], abs=1e-4)


def test_an_items_kind_has_the_first_takes_of_all_its_items(found: dict[str, np.ndarray], world: World) -> None:
    rates = np.array([3.0, 1.0, *[0.0] * (len(world.department) - 2)])
    for place in range(4):
        own = rates[world.department == world.department[place]].sum()
        assert np.exp(found["first_takes_department"][place]) - 0.01 == pytest.approx(own, abs=1e-4)
