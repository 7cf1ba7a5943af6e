"""The C++ backend hears of items what the python steps hear, and what is recorded knows nothing of it."""

from __future__ import annotations

import json

import pytest
import redis

from contracts.item_state import KEY, VERSION
from ensemble.live_items import LiveItems
from ensemble.native import Core, RefusedError
from ensemble.steps.chain import Chain
from ensemble.steps.envelope import Envelope
from ensemble.steps.release import Release
from tests.ensemble.made_up import CUT, World
from tests.ensemble.test_live_items import update
from tests.streaming.services import Process


def live(core: Core, item_filter: dict, k: int = 100) -> list[str]:
    """Ids that a stranger is answered, as of now."""
    asked = json.dumps({"user_id": "stranger", "k": k, "candidate_filter": item_filter}).encode()
    return core.answer((asked, None))[0]["item_ids"]


def test_what_is_said_of_items_is_heard_by_both(
    core: Core, release: Release, world: World, online_store: Process, online: redis.Redis
) -> None:
    address = f"127.0.0.1:{online_store.port}"
    core.load(release, redis=address)
    chain, row = Chain(release), {"row": world.row(1, CUT), "as_of": CUT}
    (recorded,) = core.answer((b'{"user_id":"user-1","k":100}', row))

    def may_be_listed(**wishes: object) -> set[str]:
        envelope = Envelope("stranger", CUT, 0, **wishes)  # pyright: ignore[reportArgumentType]
        blocked = chain.tables.shelves.of(envelope).blocked(envelope)
        return {item for item, out in zip(world.item_ids, blocked) if not out}

    before = live(core, {})
    gone, moved = before[:3], before[3]
    for item in gone:
        update(online, item, 5, available="false")
    update(online, moved, 6, department="dep-7", price="1000.5", brand="no such brand")
    online.hset(KEY, "item-9", b"nonsense")
    assert live(core, {}) == before, "nobody looked yet"
    core("look")
    assert LiveItems(address, chain.tables.shelves.take).look()
    assert not {*gone} & {*live(core, {})} and {*live(core, {})} <= may_be_listed()
    assert live(core, {"available": False}) == before
    assert live(core, {"price_min": 1000}) == [moved] == [*may_be_listed(price_min=1000.0)]
    assert moved in live(core, {"category": ["dep-7"]})
    assert core.answer((b'{"user_id":"user-1","k":100,"request_id":"%s"}' % recorded["request_id"].encode(), row)) == [
        recorded
    ]
    for item in gone:
        update(online, item, 7, available="true")
    core("look")
    assert {*gone} <= {*live(core, {})}


def test_a_store_that_is_gone_or_answers_nonsense_leaves_the_last_known(
    core: Core, release: Release, online_store: Process, online: redis.Redis
) -> None:
    core.load(release, redis=f"127.0.0.1:{online_store.port}")
    gone = live(core, {})[0]
    update(online, gone, 5, available="false")
    core("look")
    online.delete(VERSION)
    online.hset(VERSION, "a", "hash")
    with pytest.raises(RefusedError, match="WRONGTYPE"):
        core("look")
    assert gone not in live(core, {})
    online.flushall()
    core("look")
    assert gone in live(core, {}), "an empty store says nothing of any item"
