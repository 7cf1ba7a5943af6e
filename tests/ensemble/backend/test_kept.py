"""What the C++ backend keeps of a bucket: made once, made anew by newer counts or when it is too much; all counted."""

from __future__ import annotations

import pytest
import redis

from contracts.buckets import Bucket
from contracts.features import FIRST_VALUE, MS_PER_DAY
from contracts.metrics import HIT, MISS
from ensemble.native import Core
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from streaming import buckets
from tests.ensemble.made_up import CUT, World
from tests.streaming.services import Process


def test_a_bucket_is_made_once(serving: Core, world: World) -> None:
    def ask(day: int) -> dict[str, int]:
        serving("lookups")
        serving.answer((b'{"user_id":"user-1"}', {"row": world.row(1, CUT), "as_of": CUT + day * MS_PER_DAY}))
        return serving("lookups")

    first, again, next_day, next_again = ask(0), ask(0), ask(1), ask(1)
    assert first[MISS] > 0 and next_day[MISS] > 0, "a newer bucket is made anew"
    assert again == next_again and again[MISS] == 0 and again[HIT] > 0


def test_newer_counts_are_made_anew_and_counted_on(
    core: Core, release: Release, chain: Chain, world: World, online: redis.Redis, online_store: Process
) -> None:
    core.load(release, redis=f"127.0.0.1:{online_store.port}")
    asked = (b'{"user_id":"user-1"}', {"row": world.row(1, CUT), "as_of": CUT})
    core.answer(asked)
    core("lookups")
    day = int(chain.tables.buckets.number.max()) + 1
    pipe = online.pipeline()
    buckets.add(pipe, "0", {Bucket(day, "", chain.tables.item_ids[FIRST_VALUE]): 40}, chain.tables.features)
    pipe.execute()
    core("look_at_buckets", now_ms=(day + 1) * MS_PER_DAY)
    core.answer(asked)
    assert core("lookups")[MISS] > 0
    core.answer(asked)
    assert core("lookups")[MISS] == 0


@pytest.mark.parametrize(
    ("keys", "outcomes"), [([0, 1, 0, 2, 2, 0], [MISS, MISS, HIT, MISS, HIT, MISS]), ([7, 7, 7], [MISS, HIT, HIT])]
)
def test_what_is_kept_begins_anew_when_it_is_too_much(core: Core, keys: list[int], outcomes: list[str]) -> None:
    assert core("keep", numbers=1 << 23, keys=keys) == outcomes, "two fit"
