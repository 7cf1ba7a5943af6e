"""What a real tritonserver shows, whichever twin serves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import redis

from contracts import item_state

if TYPE_CHECKING:
    from tests.ensemble.test_triton import Server


def assert_looks_are_counted(server: Server) -> None:
    """Every step that keeps vectors has made those of today by the second request."""

    def looks(outcome: str) -> float:
        _, text = server.get(server.metrics, "/metrics")
        (line,) = [x for x in text.splitlines() if x.startswith(f'trireme_cache_lookups_total{{outcome="{outcome}"')]
        return float(line.rsplit(" ", 1)[1])

    server.ask(user_id="user-1")
    hits, misses = looks("hit"), looks("miss")
    assert misses > 0
    server.ask(user_id="user-1")
    assert (looks("hit") > hits, looks("miss")) == (True, misses)


def assert_items_are_heard_of(server: Server) -> None:
    """Items like an item, and an item that goes and comes back by its state in the store."""
    status, data = server.post(b'{"item_id":"item-3","k":7}', "similar_items_json")
    answer = json.loads(data)
    assert (status, answer["item_id"], len(answer["item_ids"]), answer["skipped"]) == (200, "item-3", 7, [])
    assert server.post(b'{"item_id":""}', "similar_items_json")[0] == 400
    (first,) = server.ask(user_id="nobody", k=1)["item_ids"]
    with redis.Redis(port=server.redis) as client:
        client.hset(item_state.KEY, first, item_state.encode({"available": item_state.Said(5, "e", "false")}))
        client.set(item_state.VERSION, "gone")
        wait_for(lambda: first not in server.ask(user_id="nobody")["item_ids"])
        assert len(server.ask(user_id="nobody", k=100)["item_ids"]) == 100
        client.delete(item_state.KEY)
        client.set(item_state.VERSION, "back")
        wait_for(lambda: first in server.ask(user_id="nobody")["item_ids"])
    ages = [x for x in server.get(server.metrics, "/metrics")[1].splitlines() if "item_state_age_seconds{" in x]
    assert ages and all(0 <= float(line.rsplit(" ", 1)[1]) < 5 for line in ages)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "nothing was heard within 10 s"
        time.sleep(0.1)
