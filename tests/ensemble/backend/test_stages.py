"""Where the C++ backend's time goes: every moment of a batch is charged to one stage."""

from __future__ import annotations

import json
import time

from ensemble.native import Core
from tests.ensemble.made_up import CUT, World


def test_all_of_the_time_of_a_batch_is_charged_and_none_of_it_twice(serving: Core, world: World) -> None:
    rows = [world.row(user, CUT) for user in range(8)]
    requests = [
        {"body": f'{{"user_id":"user-{user}"}}', "golden_row": json.dumps({"row": row, "as_of": CUT})}
        for user, row in enumerate(rows)
    ]
    serving("spent", requests=requests, times=1)
    started = time.perf_counter_ns()
    spent = serving("spent", requests=requests, times=20)
    passed = time.perf_counter_ns() - started
    wall, cpu = (sum(clocks[i] for clocks in spent.values()) for i in range(2))
    assert 0.3 * passed < wall < passed, "all that passed but reading eight rows and the way through the pipe"
    assert 0 < cpu <= wall * 1.02
    worked = {stage for stage, (_, busy) in spent.items() if busy > 0}
    computing = {"lookup", "query_tower", "dot_products", "neighbours", "users_alike", "top_k", "merge"}
    assert worked >= computing | {"ranker_features", "ranker", "blend", "write"}
    assert spent["store"] == [0, 0], "rows came with their requests"
