"""What only the C++ backend does in a real tritonserver; what it shares with the steps is in ``../test_triton.py``."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient import grpc

from ensemble.steps.release import Release
from tests.ensemble.made_up import World
from tests.ensemble.servers import NATIVE, Server, serving, typed

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(release: Release, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(NATIVE, release, world, tmp_path_factory.mktemp("triton")) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[grpc.InferenceServerClient]:
    client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    yield client
    client.close()


def test_no_python_runs(server: Server) -> None:
    assert not list(Path("/dev/shm").glob(f"trireme-{server.http}-*")), "a stub has a region of shared memory"


def test_bad_requests_among_good_ones_in_one_dynamic_batch_harm_none(
    server: Server, client: grpc.InferenceServerClient
) -> None:
    """A request of 64 users keeps the model busy for a while, so that those behind it queue and share a batch."""
    alone = {user: server.ask(user_id=f"user-{user}", k=10)["item_ids"] for user in range(8)}
    barrier = threading.Barrier(24)

    def one(number: int) -> tuple[int, int, bytes]:
        body = {"user_id": f"user-{number % 8}", "k": 10 if number % 3 else 700}
        barrier.wait(10)
        return number, *server.post(json.dumps(body).encode())

    def many(_: int) -> None:
        assert typed(client, [b"user-1"] * 64).as_numpy("item_ids").shape == (64, 20)

    before = server.count('nv_inference_exec_count{model="recommend"')
    with ThreadPoolExecutor(30) as pool:
        answered = []
        for _ in range(5):
            crowd = [pool.submit(many, i) for i in range(6)]
            answered += pool.map(one, range(24))
            for busy in crowd:
                busy.result()
    for number, status, data in answered:
        if number % 3:
            assert status == 200, data
            assert set(json.loads(data)["item_ids"]) == set(alone[number % 8])
        else:
            assert (status, b"k: expected an integer from 1 to 100, got 700" in data) == (400, True)
    executions = server.count('nv_inference_exec_count{model="recommend"') - before
    assert executions < len(answered) + 30, "some of them did share a batch"


def test_the_metrics_page_says_where_the_time_goes(server: Server) -> None:
    def observed(stage: str) -> float:
        return server.count(f'trireme_stage_duration_seconds_count{{stage="{stage}"}}')

    before = {stage: observed(stage) for stage in ("parse", "store", "ranker", "write")}
    for _ in range(20):
        server.ask(user_id="user-1")
    assert {stage: observed(stage) for stage in before} == {stage: number + 20 for stage, number in before.items()}
    assert server.count('trireme_stage_cpu_seconds_total{stage="store"}') > 0


def test_a_store_that_hangs_degrades_answers_and_is_left_alone_for_a_while(server: Server) -> None:
    """Stopped, not killed: it takes connections and says nothing."""
    known = server.ask(user_id="user-1")
    os.kill(server.redis_pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        reasons = [server.ask(user_id="user-1")["skipped"] for _ in range(8)]
        taken = time.monotonic() - started
    finally:
        os.kill(server.redis_pid, signal.SIGCONT)
    assert [skipped[0]["stage"] for skipped in reasons] == ["feature_lookup"] * 8
    assert reasons[0][0]["reason"] == "online store did not answer within 0.1 s"
    # Each of the two instances has a connection of its own, and gives up after two timeouts.
    assert reasons[-1][0]["reason"] == "online store timed out a moment ago and was not asked"
    assert taken < 8 * 0.1 + 0.5
    time.sleep(0.6)
    assert server.ask(user_id="user-1")["item_ids"] == known["item_ids"], "and is asked again"
