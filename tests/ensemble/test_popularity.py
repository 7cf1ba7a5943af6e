"""Popularity as of a day, against a sum over single interactions; and it never sees an open day."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.features import MS_PER_DAY
from ensemble.steps.chain import Chain
from ensemble.steps.popularity import Popularity
from tests.ensemble.made_up import CUT, FIRST_DAY, ITEMS, World


def by_hand(world: World, day: int, half_life: float, region: int | None = None) -> np.ndarray:
    counts = np.zeros(ITEMS)
    for item, time, place in zip(world.item, world.time, world.region):
        happened = time // MS_PER_DAY
        if happened < day and region in (None, place):
            counts[item] += 0.5 ** ((day - 1 - happened) / half_life)
    return counts


@pytest.mark.parametrize("half_life", [7, 30, 120])
@pytest.mark.parametrize("hour", [0, 13])
def test_counts_are_the_decayed_interactions_of_all_days_before(
    chain: Chain, world: World, half_life: int, hour: int
) -> None:
    as_of = CUT + hour * 3_600_000
    assert np.allclose(chain.popularity.counts(as_of, half_life), by_hand(world, CUT // MS_PER_DAY, half_life))


def test_a_day_is_seen_only_after_its_end(chain: Chain) -> None:
    before, after = CUT + MS_PER_DAY - 1, CUT + MS_PER_DAY
    buckets = chain.tables.buckets
    kept = buckets.day < CUT // MS_PER_DAY
    past = dataclasses.replace(
        buckets, day=buckets.day[kept], region=buckets.region[kept], item=buckets.item[kept], count=buckets.count[kept]
    )
    without = Popularity(dataclasses.replace(chain.tables, buckets=past))
    for vector in ("trend", "counts", "trending"):
        extra = {"counts": (30,), "trending": ("region-1",), "trend": ()}[vector]
        known, blind = getattr(chain.popularity, vector), getattr(without, vector)
        assert np.array_equal(known(before, *extra), blind(before, *extra)), "nothing of the running day shows"
        assert not np.array_equal(known(after, *extra), blind(after, *extra)), "after midnight it does"


def test_a_region_has_its_own_trending_list_mixed_with_all_regions(chain: Chain, world: World) -> None:
    day, settings = CUT // MS_PER_DAY, world.config.serve
    half_life = settings.trending_half_life_days
    own, everywhere = by_hand(world, day, half_life, region=1), by_hand(world, day, half_life)
    assert own.sum() >= settings.trending_min_count
    wanted = own + everywhere * settings.trending_min_count / everywhere.sum()
    assert np.allclose(chain.popularity.trending(CUT, "region-1"), wanted / wanted.max())


def test_a_region_too_small_or_unknown_has_the_list_of_all_regions(chain: Chain, world: World) -> None:
    everywhere = by_hand(world, CUT // MS_PER_DAY, world.config.serve.trending_half_life_days)
    large = dataclasses.replace(world.config.serve, trending_min_count=10**6)
    small = Popularity(dataclasses.replace(chain.tables, serve=large))
    for vector in (small.trending(CUT, "region-1"), chain.popularity.trending(CUT, "nowhere")):
        assert np.allclose(vector, everywhere / everywhere.max())


def test_trending_keeps_its_scale_years_after_the_log_and_before_it_all_are_equal(chain: Chain) -> None:
    later = chain.popularity.trending(CUT + 3000 * MS_PER_DAY, "")
    assert later.max() == 1.0
    assert np.array_equal(
        np.argsort(-later, kind="stable")[:20],
        np.argsort(-chain.popularity.trending((FIRST_DAY + 60) * MS_PER_DAY, ""), kind="stable")[:20],
    )
    assert (chain.popularity.trending(FIRST_DAY * MS_PER_DAY, "") == 0).all()


def test_an_item_that_sells_more_than_it_used_to_has_a_positive_trend(chain: Chain) -> None:
    tables, day = chain.tables, FIRST_DAY + 100
    days = np.arange(FIRST_DAY, day, dtype=np.int32)
    rising, falling, steady = np.arange(100) // 10, (99 - np.arange(100)) // 10, np.full(100, 5)
    buckets = dataclasses.replace(
        tables.buckets,
        day=np.tile(days, 3),
        region=np.zeros(300, np.int32),
        item=np.repeat([3, 4, 5], 100),
        count=np.concatenate([rising, falling, steady]).astype(float),
        regions={"r": 0},
    )
    trend = Popularity(dataclasses.replace(tables, buckets=buckets)).trend(day * MS_PER_DAY)
    assert trend[0] > 0.3
    assert trend[1] < -0.3
    assert abs(trend[2]) < 0.01, "what sells as ever has none, however short the log"
    assert trend[3] == 0, "what never sold has none"
