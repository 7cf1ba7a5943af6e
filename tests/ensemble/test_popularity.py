"""Popularity as of an instant, against a sum over single interactions; and it never sees an open bucket."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contracts.features import MS_PER_DAY
from contracts.metrics import HIT, MISS
from ensemble.steps import bucket_log
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
    assert np.allclose(chain.popularity.counts(as_of, half_life * 24), by_hand(world, CUT // MS_PER_DAY, half_life))


def test_a_day_is_seen_only_after_its_end(chain: Chain) -> None:
    before, after = CUT + MS_PER_DAY - 1, CUT + MS_PER_DAY
    buckets = chain.tables.buckets
    kept = buckets.number < CUT // MS_PER_DAY
    columns = {name: getattr(buckets, name)[kept] for name in ("number", "region", "item", "count")}
    past = dataclasses.replace(buckets, **columns)
    without = Popularity(dataclasses.replace(chain.tables, buckets=past))
    for vector in ("trend", "counts", "trending"):
        extra = {"counts": (720,), "trending": ("region-1",), "trend": ()}[vector]
        known, blind = getattr(chain.popularity, vector), getattr(without, vector)
        assert np.array_equal(known(before, *extra), blind(before, *extra)), "nothing of the running day shows"
        assert not np.array_equal(known(after, *extra), blind(after, *extra)), "after midnight it does"


@pytest.mark.parametrize("region", ["", "region-1"])
def test_buckets_of_minutes_decay_by_the_minute_and_show_when_they_close(
    chain: Chain, world: World, region: str
) -> None:
    """Three buckets of five minutes by hand: two of the running day, one of the day before."""
    midnight, minute = CUT // MS_PER_DAY * 288, 60_000
    buckets = dataclasses.replace(
        chain.tables.buckets,
        number=np.array([midnight - 3, midnight, midnight + 6], np.int32),
        region=np.zeros(3, np.int32),
        item=np.array([3, 4, 3]),
        count=np.array([8.0, 2.0, 1.0]),
        regions={"region-1": 0},
    )
    features = dataclasses.replace(chain.tables.features, bucket_minutes=5)
    serve = dataclasses.replace(chain.tables.serve, trending_half_life_hours=0.25, trending_min_count=1)
    popularity = Popularity(dataclasses.replace(chain.tables, buckets=buckets, features=features, serve=serve))
    closing = CUT + 35 * minute  # bucket 6 of the day ends
    # With a half-life of 15 minutes, three buckets: ages are counted from the newest closed bucket.
    for as_of, first, second in ((closing - 1, 8 / 2 ** (8 / 3), 2 / 2 ** (5 / 3)), (closing, 9, 2 / 2**2)):
        if as_of == closing:
            first = 8 / 2 ** (9 / 3) + 1
        assert np.allclose(popularity.counts(as_of, 0.25)[:3], [first, second, 0])
        trending = popularity.trending(as_of, region)
        assert np.allclose(trending[:3], np.array([first, second, 0]) / max(first, second))


def test_a_region_has_its_own_trending_list_mixed_with_all_regions(chain: Chain, world: World) -> None:
    day, settings = CUT // MS_PER_DAY, world.config.serve
    half_life = settings.trending_half_life_hours / 24
    own, everywhere = by_hand(world, day, half_life, region=1), by_hand(world, day, half_life)
    wanted = own + everywhere * settings.trending_min_count / everywhere.sum()
    assert np.allclose(chain.popularity.trending(CUT, "region-1"), wanted / wanted.max())


def test_a_region_of_few_interactions_has_nearly_and_an_unknown_one_just_the_list_of_all_regions(
    chain: Chain, world: World
) -> None:
    everywhere = by_hand(world, CUT // MS_PER_DAY, world.config.serve.trending_half_life_hours / 24)
    large = dataclasses.replace(world.config.serve, trending_min_count=10**9)
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
        number=np.tile(days, 3),
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


def test_what_is_kept_of_a_bucket_is_made_once_and_newer_counts_are_made_anew(chain: Chain) -> None:
    popularity, counts = Popularity(chain.tables), chain.tables.buckets
    looks = popularity.lookups.counts
    for ask in (popularity.counts, popularity.log_rate):
        ask(CUT, 24)
        looks()
        for _ in range(3):
            ask(CUT + 5, 24)
        assert looks() == {HIT: 3}, "the same bucket"
        ask(CUT + MS_PER_DAY, 24)
        assert looks()[MISS] >= 1, "the next one"
    popularity.take(dataclasses.replace(counts, number=counts.number + 1))
    popularity.counts(CUT, 24)
    assert looks() == {MISS: 1}, "newer counts begin with nothing, and are counted on"


def test_what_is_kept_begins_anew_when_it_is_too_much(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_log, "_MOST_KEPT", 2 * ITEMS)
    popularity = Popularity(chain.tables)
    outcomes = []
    for day in (0, 1, 0, 2, 2, 0):
        popularity.counts(CUT + day * MS_PER_DAY, 24)
        outcomes.extend(popularity.lookups.counts())
    assert outcomes == [MISS, MISS, HIT, MISS, HIT, MISS]


def test_threads_that_look_at_once_get_the_same_vector_each_look_is_counted_and_none_may_write(chain: Chain) -> None:
    popularity = Popularity(chain.tables)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: popularity.counts(CUT + i % 3 * MS_PER_DAY, 24), range(300)))
    assert popularity.lookups.counts().total() == 300
    assert len({id(vector) for vector in made}) == 3, "one a bucket, whoever made it"
    with pytest.raises(ValueError, match="read-only"):
        made[0][0] = 1.0
