"""The exported release in a real tritonserver, served by the C++ backend behind the same public names."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import redis
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from deploy.parts import redis_argv
from deploy.tritonserver import Native, launch
from ensemble import golden, golden_triton
from ensemble.steps.release import Release
from tests.ensemble.backend.conftest import make
from tests.ensemble.made_up import World
from tests.ensemble.of_servers import assert_items_are_heard_of, assert_looks_are_counted
from tests.ensemble.test_triton import HOSTILE, Server, typed
from tests.running import free_port_base, process, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Port and process id of a Redis."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port_base()
    with process(redis_argv(port, folder), folder / "log") as started:
        wait_until(lambda: answers(port), "redis", folder / "log")
        yield port, started.pid


def answers(port: int) -> bool:
    client = redis.Redis(port=port)
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
    finally:
        client.close()


@pytest.fixture(scope="module")
def server(
    release: Release, world: World, store: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    make("build/libtriton_trireme.so")
    folder, base = tmp_path_factory.mktemp("triton"), free_port_base()
    made = Server(base, base + 1, base + 2, store[0])
    ports = {"http": made.http, "grpc": made.grpc, "metrics": made.metrics}
    told = Native(redis=f"127.0.0.1:{made.redis}", variant="native")
    started = launch(release.root, folder / "backends", **ports, native=told)
    with process(started.argv, folder / "triton.log", started.full_env()) as running:
        ready: Callable[[], bool] = lambda: made.get(made.http, "/v2/health/ready")[0] == 200  # noqa: E731
        wait_until(ready, "tritonserver", folder / "triton.log", seconds=60)
        made.know(world)
        yield made
        assert running.poll() is None, "the server lived through all of it"


@pytest.fixture
def client(server: Server) -> Iterator[grpc.InferenceServerClient]:
    client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    yield client
    client.close()


def test_golden_requests_are_answered_by_triton_as_recorded(server: Server, release: Release) -> None:
    assert golden_triton.replay(release, f"127.0.0.1:{server.grpc}") == golden.replay(release) >= 32


def test_no_python_runs(server: Server) -> None:
    assert not list(Path("/dev/shm").glob(f"trireme-{server.http}-*")), "a stub has a region of shared memory"


def test_rest_and_grpc_give_the_same_answer(server: Server, client: grpc.InferenceServerClient) -> None:
    answer = server.ask(user_id="user-1", k=7, request_id="r-1")
    result = typed(client, [b"user-1"], [7])
    assert [item.decode() for item in result.as_numpy("item_ids")[0]] == answer["item_ids"]
    assert np.allclose(result.as_numpy("scores")[0], answer["scores"], atol=1e-5)
    assert [source.decode() for source in result.as_numpy("sources")[0]] == answer["sources"]
    assert (answer["request_id"], answer["skipped"], len(set(answer["item_ids"]))) == ("r-1", [], 7)
    assert (answer["variant"], answer["feature_age_ms"] > 0) == ("native", True)
    assert json.loads(result.as_numpy("response")[0, 0])["item_ids"] == answer["item_ids"]
    assert len(server.ask(user_id="user-1")["request_id"]) == 32


def test_optional_inputs_may_be_left_out_and_a_user_id_may_not(client: grpc.InferenceServerClient) -> None:
    assert typed(client, [b"user-1"]).as_numpy("item_ids").shape == (1, 20)
    region = grpc.InferInput("region", [1, 1], "BYTES").set_data_from_numpy(np.array([[b"x"]], object))
    with pytest.raises(InferenceServerException, match="user_id: expected a non-empty string, got none") as caught:
        client.infer("recommendations", [region])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match=r"user_id: expected UTF-8, got b'\\xff'"):
        typed(client, [b"\xff"])


def test_many_users_in_one_call_get_a_row_each(client: grpc.InferenceServerClient) -> None:
    users = [f"user-{i}".encode() for i in range(10)]
    together = typed(client, users, [20, 3] * 5).as_numpy("item_ids")
    alone = [typed(client, [user]).as_numpy("item_ids")[0] for user in users]
    assert together.shape == (10, 20)
    assert all(row[3:].tolist() == [b""] * 17 for row in together[1::2]), "shorter lists end in nothing"
    assert np.mean(together[::2] == np.array(alone[::2])) > 0.98


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

    before = count(server, 'nv_inference_exec_count{model="recommend"')
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
    executions = count(server, 'nv_inference_exec_count{model="recommend"') - before
    assert executions < len(answered) + 30, "some of them did share a batch"


def count(server: Server, name: str) -> float:
    _, text = server.get(server.metrics, "/metrics")
    (line,) = [x for x in text.splitlines() if x.startswith(name)]
    return float(line.rsplit(" ", 1)[1])


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:40]))
def test_a_hostile_body_is_a_clean_400_and_the_server_lives(server: Server, body: bytes) -> None:
    status, data = server.post(body)
    assert status == 400
    assert b"expected" in data or b"is not a field" in data
    assert len(data) < 600, "an error does not send the body back"
    assert server.ask(user_id="user-1")["skipped"] == []


def test_answers_are_counted_on_the_metrics_page(server: Server, release: Release) -> None:
    answered = f'trireme_answers_total{{release="{release.id}"}}'
    before, skipped = count(server, answered), count(server, 'trireme_skipped_total{stage="ranker"}')
    server.ask(user_id="user-1")
    server.post(b"{")
    assert (count(server, answered), count(server, 'trireme_skipped_total{stage="ranker"}')) == (before + 1, skipped)


def test_what_is_kept_is_found_by_the_next_request_and_both_are_counted(server: Server) -> None:
    assert_looks_are_counted(server)


def test_the_metrics_page_says_where_the_time_goes(server: Server) -> None:
    def observed(stage: str) -> float:
        return count(server, f'trireme_stage_duration_seconds_count{{stage="{stage}"}}')

    before = {stage: observed(stage) for stage in ("parse", "store", "ranker", "write")}
    for _ in range(20):
        server.ask(user_id="user-1")
    assert {stage: observed(stage) for stage in before} == {stage: number + 20 for stage, number in before.items()}
    assert count(server, 'trireme_stage_cpu_seconds_total{stage="store"}') > 0


def test_a_store_that_hangs_degrades_answers_and_is_left_alone_for_a_while(
    server: Server, store: tuple[int, int]
) -> None:
    """Stopped, not killed: it takes connections and says nothing."""
    known = server.ask(user_id="user-1")
    os.kill(store[1], signal.SIGSTOP)
    try:
        started = time.monotonic()
        reasons = [server.ask(user_id="user-1")["skipped"] for _ in range(8)]
        taken = time.monotonic() - started
    finally:
        os.kill(store[1], signal.SIGCONT)
    assert [skipped[0]["stage"] for skipped in reasons] == ["feature_lookup"] * 8
    assert reasons[0][0]["reason"] == "online store did not answer within 0.1 s"
    # Each of the two instances has a connection of its own, and gives up after two timeouts.
    assert reasons[-1][0]["reason"] == "online store timed out a moment ago and was not asked"
    assert taken < 8 * 0.1 + 0.5
    time.sleep(0.6)
    assert server.ask(user_id="user-1")["item_ids"] == known["item_ids"], "and is asked again"


def test_a_batch_in_one_body_is_answered_element_by_element(server: Server) -> None:
    held = [{"user_id": f"user-{i % 10}", "k": 1 + i % 5} for i in range(250)] + [{"k": 5}] * 6
    answers = server.ask(requests=held)["answers"]
    assert len(answers) == 256
    assert answers[250:] == [{"error": "user_id: expected a non-empty string, got None"}] * 6
    for number in range(10):
        alone = server.ask(user_id=f"user-{number}", k=1 + number % 5)
        assert answers[number + 100]["item_ids"] == alone["item_ids"]
        assert answers[number + 100]["user_id"] == f"user-{number}"
    assert [set(answer) for answer in server.ask(requests=[{}, 7])["answers"]] == [{"error"}] * 2
    status, data = server.post(json.dumps({"requests": held * 2}).encode())
    assert (status, b"requests: expected a list of 1 to 256 requests, got 512" in data) == (400, True)


def test_256_users_in_one_call_by_grpc(client: grpc.InferenceServerClient) -> None:
    users = [f"user-{i % 10}".encode() for i in range(256)]
    assert typed(client, users).as_numpy("item_ids").shape == (256, 20)
    with pytest.raises(InferenceServerException, match="256"):
        typed(client, [*users, b"one-more"])


def test_items_are_answered_and_what_is_said_of_them_is_heard(server: Server) -> None:
    assert_items_are_heard_of(server)
