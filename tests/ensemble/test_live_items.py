"""States of items from the online store: taken when they change, kept when the store is gone."""

from __future__ import annotations

from collections.abc import Mapping

import redis

from contracts.events import Event
from contracts.item_state import KEY, VERSION
from ensemble.live_items import LiveItems
from streaming import live_items
from tests.ensemble.made_up import config
from tests.running import free_port_base
from tests.streaming.services import Process

SETTINGS = config().features


def update(client: redis.Redis, item: str, time: int, anew: bool = False, **said: str) -> None:
    """What the processor does with an ``item_update``."""
    event = Event(f"{item}-{time}", "item_update", time, item_id=item, attributes=said)
    states = live_items.changed(client, [event], SETTINGS)
    with client.pipeline() as pipe:
        live_items.put(pipe, states, anew)
        pipe.execute()


def test_what_an_update_says_is_taken_once(online: redis.Redis, online_store: Process) -> None:
    taken: list[Mapping] = []
    live = LiveItems(f"127.0.0.1:{online_store.port}", taken.append)
    assert live.look() and taken == [], "a store in which nothing was ever said changes nothing"
    update(online, "item-1", 5, available="false", price="2.5", colour="red")
    assert live.look() and live.look()
    assert taken == [{"item-1": {"available": "false", "price": "2.5"}}]
    update(online, "item-1", 4, available="true")
    update(online, "item-2", 9, department="dep-1")
    assert live.look() and len(taken) == 2, "an older word changes nothing"
    assert taken[-1] == {"item-1": {"available": "false", "price": "2.5"}, "item-2": {"department": "dep-1"}}


def test_a_document_that_cannot_be_read_harms_no_other(online: redis.Redis, online_store: Process) -> None:
    taken: list[Mapping] = []
    update(online, "item-1", 5, available="false")
    online.hset(KEY, "item-2", b"nonsense")
    online.set(VERSION, "another")
    assert LiveItems(f"127.0.0.1:{online_store.port}", taken.append).look()
    assert taken == [{"item-1": {"available": "false"}}]


def test_without_the_store_the_last_known_stays_and_grows_old(online_store: Process) -> None:
    taken: list[Mapping] = []
    now = [100.0]
    live = LiveItems(f"127.0.0.1:{free_port_base()}", taken.append, clock=lambda: now[0])
    now[0] += 7
    assert live.look() is False and taken == [] and live.age_seconds() == 7
