"""Trending knows what the stream counted: a release of half a log and a store of the rest are as one of all of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import redis

from contracts.buckets import Bucket
from contracts.features import FIRST_VALUE, MS_PER_DAY
from ensemble.live_buckets import LiveBuckets
from ensemble.steps.chain import Chain
from ensemble.steps.popularity import Popularity
from ensemble.steps.tables import Buckets, Tables
from streaming import buckets
from tests.ensemble.made_up import CUT
from tests.running import free_port_base
from tests.streaming.services import Process

DAY = CUT // MS_PER_DAY


def halves(tables: Tables, day: int) -> tuple[Tables, Counter[Bucket]]:
    """The tables of a release that ends before a day, and what the stream would have counted from there on."""
    rows, names = tables.buckets, {index: name for name, index in tables.buckets.regions.items()}
    old = rows.number < day
    kept = {name: getattr(rows, name)[old] for name in ("number", "region", "item", "count")}
    later = np.flatnonzero(~old)
    counted = Counter(
        {
            Bucket(int(rows.number[i]), names[int(rows.region[i])], tables.item_ids[rows.item[i]]): int(rows.count[i])
            for i in later
        }
    )
    return dataclasses.replace(tables, buckets=Buckets(**kept, regions=rows.regions)), counted


def test_half_a_log_and_the_streams_counts_of_the_rest_are_the_whole_log(
    chain: Chain, online: redis.Redis, online_store: Process
) -> None:
    tables, counted = halves(chain.tables, DAY - 3)
    for shard, part in (("0", 0), ("1", 1)):
        pipe = online.pipeline()
        mine = Counter({bucket: count for bucket, count in counted.items() if hash(bucket.item_id) % 2 == part})
        buckets.add(pipe, shard, mine, tables.features)
        pipe.execute()
    popularity, as_of = Popularity(tables), CUT
    before = popularity.trending(as_of, "region-1")
    assert LiveBuckets(f"127.0.0.1:{online_store.port}", tables, popularity.take, lambda: as_of / 1000).look()
    for made, whole in (
        (popularity.trending(as_of, "region-1"), chain.popularity.trending(as_of, "region-1")),
        (popularity.trend(as_of), chain.popularity.trend(as_of)),
        (popularity.counts(as_of, 720), chain.popularity.counts(as_of, 720)),
        (popularity.age_hours(as_of), chain.popularity.age_hours(as_of)),
    ):
        assert np.allclose(made, whole)
    assert not np.allclose(before, popularity.trending(as_of, "region-1"))
    earlier = (DAY - 5) * MS_PER_DAY
    assert np.allclose(popularity.trend(earlier), Popularity(tables).trend(earlier)), "recorded requests mean the same"


def test_a_bucket_counts_when_it_is_over_and_late_events_correct_it(
    chain: Chain, online: redis.Redis, online_store: Process
) -> None:
    tables, _ = halves(chain.tables, DAY)
    item, clock = FIRST_VALUE + 5, [CUT / 1000]
    popularity = Popularity(tables)
    live = LiveBuckets(f"127.0.0.1:{online_store.port}", tables, popularity.take, lambda: clock[0])

    def count(times: int) -> None:
        pipe = online.pipeline()
        buckets.add(pipe, "0", {Bucket(DAY, "", tables.item_ids[item]): times}, tables.features)
        pipe.execute()

    def known() -> float:
        assert live.look()
        return popularity.counts(CUT + MS_PER_DAY, 24)[5] - Popularity(tables).counts(CUT + MS_PER_DAY, 24)[5]

    count(7)
    assert known() == 0, "the bucket is running"
    clock[0] += MS_PER_DAY / 1000
    assert known() == pytest.approx(7)
    count(2)
    assert known() == pytest.approx(9)
    assert known() == pytest.approx(9), "nothing is counted twice"


def test_what_the_release_counts_already_and_what_it_does_not_know_is_left_out(
    chain: Chain, online: redis.Redis, online_store: Process
) -> None:
    tables, taken = chain.tables, list[Buckets]()
    last = int(tables.buckets.number.max())
    pipe = online.pipeline()
    counts = {Bucket(last, "", tables.item_ids[9]): 4, Bucket(last + 1, "", "nobody knows it"): 4}
    buckets.add(pipe, "0", counts, tables.features)
    pipe.execute()
    live = LiveBuckets(f"127.0.0.1:{online_store.port}", tables, taken.append, lambda: (last + 3) * MS_PER_DAY / 1000)
    assert live.look()
    assert [len(rows.number) for rows in taken] == [0]


def test_without_the_store_the_last_known_stays(chain: Chain, tmp_path: Path) -> None:
    taken = list[Buckets]()
    assert not LiveBuckets(f"127.0.0.1:{free_port_base()}", chain.tables, taken.append).look()
    assert taken == []
