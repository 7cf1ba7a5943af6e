"""Threads that use one loaded release at once, while live counts and states of items are replaced under it.

That is what two instances of a model and its pollers do. ``make race-backend`` runs this with ThreadSanitizer.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import redis

from contracts import item_state
from contracts.buckets import Bucket
from contracts.features import FIRST_VALUE, MS_PER_DAY
from ensemble.native import Core
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from streaming import buckets
from tests.ensemble.made_up import CUT, ITEMS, World
from tests.streaming.services import Process

THREADS, TIMES = 4, 15
LAST = CUT // MS_PER_DAY


class Stream:
    """Counts of new buckets, and items that come and go, as fast as the store takes them."""

    def __init__(self, store: redis.Redis, chain: Chain):
        self._store, self._tables = store, chain.tables
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.rounds = 0

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        ids = self._tables.item_ids[FIRST_VALUE:]
        while not self._ends.is_set():
            item, day = ids[self.rounds % ITEMS], int(self._tables.buckets.number.max()) + 1 + self.rounds % 3
            said = {"available": item_state.Said(self.rounds, "e", ("true", "false")[self.rounds % 2])}
            pipe = self._store.pipeline()
            buckets.add(pipe, "0", {Bucket(day, f"region-{self.rounds % 5}", item): 40}, self._tables.features)
            pipe.hset(item_state.KEY, item, item_state.encode(said))
            pipe.set(item_state.VERSION, self.rounds)
            pipe.execute()
            self.rounds += 1


def test_threads_answer_alike_while_counts_and_states_are_replaced_under_them(
    core: Core,
    release: Release,
    chain: Chain,
    world: World,
    online: redis.Redis,
    online_store: Process,
    tmp_path: Path,
) -> None:
    core.load(release, redis=f"127.0.0.1:{online_store.port}")
    wishes = {"k": 10, "request_id": "r", "deadline_ms": 10_000}
    row = {"golden_row": json.dumps({"row": world.row(1, CUT), "as_of": CUT})}
    recorded = [{"body": json.dumps({"user_id": "user-1", "region": f"region-{i}", **wishes}), **row} for i in range(4)]
    similar = {"body": json.dumps({"item_id": "item-3", **wishes}), "similar": True}
    live = [{"body": json.dumps({"user_id": f"user-{i}", **wishes})} for i in range(2)]
    before = core("answer", requests=recorded)
    with Stream(online, chain) as stream:
        found = core(
            "crowd",
            requests=[*recorded, *live, similar],
            threads=THREADS,
            times=TIMES,
            now_ms=(LAST + 30) * MS_PER_DAY,
            path=str(tmp_path / "nobody-reads"),
        )
    *lists, _ = found["lists"]
    same = [[answer["item_ids"]] for answer in before]
    assert lists[:4] == same, "recorded requests mean the same"
    assert any(len(each) > 1 for each in lists[4:]), "what is asked now is answered by what is known now"
    assert all(len(set(items)) == 10 for each in lists for items in each)
    assert stream.rounds > 3 and found["looks_at_items"] > 3 and found["looks_at_buckets"] > 3
    assert found["records"] == THREADS * TIMES * 7, "what became of each is told"
    assert found["degraded"] < THREADS * TIMES
