"""The C++ backend takes in what the stream counts as the python steps do."""

from __future__ import annotations

import numpy as np
import redis

from contracts.buckets import Bucket
from contracts.features import FIRST_VALUE, MS_PER_DAY
from ensemble.live_buckets import LiveBuckets
from ensemble.native import Core
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from streaming import buckets
from tests.ensemble.backend.test_answers import assert_equal_answers
from tests.ensemble.made_up import CUT, ITEMS, World
from tests.streaming.services import Process

DAY = CUT // MS_PER_DAY


def test_newer_buckets_change_answers_alike(
    core: Core, release: Release, world: World, online: redis.Redis, online_store: Process
) -> None:
    address = f"127.0.0.1:{online_store.port}"
    chain = Chain(release)
    rng, last = np.random.default_rng(3), int(chain.tables.buckets.number.max())
    counts = {
        Bucket(last + 1 + i % 5, ("", "region-1", "a new region")[i % 3], chain.tables.item_ids[FIRST_VALUE + item]): 40
        for i, item in enumerate(rng.permutation(ITEMS)[:30])
    }
    pipe = online.pipeline()
    buckets.add(pipe, "0", {**counts, Bucket(last + 1, "", "in no catalogue"): 9}, chain.tables.features)
    pipe.execute()
    now_ms = (last + 4) * MS_PER_DAY + 5
    core.load(release, redis=address)
    core("look_at_buckets", now_ms=now_ms)
    assert LiveBuckets(address, chain.tables, chain.popularity.take, lambda: now_ms / 1000).look()
    assert not np.allclose(chain.popularity.trending(now_ms, ""), Chain(release).popularity.trending(now_ms, ""))
    assert_equal_answers(core, chain, world)
    assert_equal_answers(core, chain, world, as_of=now_ms)
