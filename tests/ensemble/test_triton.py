"""The exported release in a real tritonserver, asked as Envoy and clients ask it: python steps and C++ answer alike."""

from __future__ import annotations

import json
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

from contracts import item_state
from contracts.errors import ArtifactError, StackError
from deploy.tritonserver import launch
from ensemble import golden, golden_triton
from ensemble.steps.release import Release
from tests.ensemble.made_up import World
from tests.ensemble.servers import NATIVE, PYTHON, VARIANT, Server, serving, typed
from tests.running import free_port_base, process

pytestmark = pytest.mark.integration

by_python = pytest.mark.parametrize("server", [PYTHON], indirect=True, scope="module")


@pytest.fixture(scope="module", params=[PYTHON, NATIVE])
def server(
    request: pytest.FixtureRequest, release: Release, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving(request.param, release, world, tmp_path_factory.mktemp("triton")) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[grpc.InferenceServerClient]:
    client = grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    yield client
    client.close()


def test_golden_requests_are_answered_by_triton_as_in_process(server: Server, release: Release) -> None:
    assert golden_triton.replay(release, f"127.0.0.1:{server.grpc}") == golden.replay(release) >= 32


@by_python
def test_another_release_than_the_servers_is_noticed(server: Server, release: Release) -> None:
    other = Release(release.root, {**release.document, "release": "another"})
    with pytest.raises(StackError, match=f"serves release {release.id}, not another"):
        golden_triton.replay(other, f"127.0.0.1:{server.grpc}")


def test_rest_and_grpc_give_the_same_answer(server: Server, client: grpc.InferenceServerClient) -> None:
    answer = server.ask(user_id="user-1", k=7, request_id="r-1")
    result = typed(client, [b"user-1"], [7])
    assert [item.decode() for item in result.as_numpy("item_ids")[0]] == answer["item_ids"]
    assert np.allclose(result.as_numpy("scores")[0], answer["scores"], atol=1e-5)
    assert [source.decode() for source in result.as_numpy("sources")[0]] == answer["sources"]
    assert (answer["request_id"], answer["skipped"], len(set(answer["item_ids"]))) == ("r-1", [], 7)
    assert (answer["variant"], answer["feature_age_ms"] > 0) == (VARIANT, True)
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
    assert np.mean(together[::2] == np.array(alone[::2])) > 0.98, "the arithmetic of a batch may swap what ties"


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe\x00",
    b"[" * 50_000,
    b'{"user_id": 7}',
    b'{"user_id": ""}',
    b'{"user_id": "a\\u0000b"}',
    b'{"user_id": "\\ud800"}',
    b'{"user_id": "' + b"x" * 129 + b'"}',
    b'{"user_id": "x", "k": true}',
    b'{"user_id": "x", "k": 1e400}',
    b'{"user_id": "x", "k": -1}',
    b'{"user_id": "x", "k": ' + b"9" * 5000 + b"}",
    b'{"user_id": "x", "golden_row": "{}"}',
    b'{"user_id": "x", "exclude_ids": "abc"}',
    b'{"user_id": "x", "exclude_ids": [[]]}',
    json.dumps({"user_id": "x", "exclude_ids": ["i"] * 501}).encode(),
    b'{"user_id": "x", "deadline_ms": 0}',
    b'{"inputs": [{"name": "request", "shape": [1099511627776, 1], "datatype": "BYTES", "data": ["x"]}]}',
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:40]))
def test_a_hostile_body_is_a_clean_400_and_the_server_lives(server: Server, body: bytes) -> None:
    status, data = server.post(body)
    assert status == 400
    assert b"expected" in data or b"is not a field" in data
    assert len(data) < 600, "an error does not send the body back"
    assert server.ask(user_id="user-1")["skipped"] == []


def test_an_excluded_item_stays_out_and_odd_but_lawful_wishes_are_met(server: Server) -> None:
    first = server.ask(user_id="user-1", k=5)["item_ids"]
    assert not set(server.ask(user_id="user-1", k=100, exclude_ids=first)["item_ids"]) & set(first)
    assert len(server.ask(user_id="Zoë 🚣", k=100, region="nowhere")["item_ids"]) == 100
    assert server.ask(user_id="user-1", deadline_ms=1)["item_ids"]


def test_answers_are_counted_on_the_metrics_page(server: Server, release: Release) -> None:
    answered = f'trireme_answers_total{{release="{release.id}"}}'
    before, skipped = server.count(answered), server.count('trireme_skipped_total{stage="ranker"}')
    server.ask(user_id="user-1")
    server.post(b"{")
    assert (server.count(answered), server.count('trireme_skipped_total{stage="ranker"}')) == (before + 1, skipped)


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


@by_python
def test_bad_requests_among_good_ones_in_one_dynamic_batch_harm_none(server: Server) -> None:
    alone = {user: server.ask(user_id=f"user-{user}", k=10)["item_ids"] for user in range(8)}
    barrier = threading.Barrier(24)

    def one(number: int) -> tuple[int, int, bytes]:
        user = number % 8
        body = {"user_id": f"user-{user}", "k": 10 if number % 3 else 700}
        barrier.wait(10)
        return number, *server.post(json.dumps(body).encode())

    executions = 'nv_inference_exec_count{model="feature_lookup"'
    before = server.count(executions)
    with ThreadPoolExecutor(24) as pool:
        answers = [answer for _ in range(5) for answer in pool.map(one, range(24))]
    for number, status, data in answers:
        if number % 3:
            assert status == 200, data
            document = json.loads(data)
            assert set(document["item_ids"]) == set(alone[number % 8])
            assert document["skipped"] == []
        else:
            assert status == 400
            assert b"k: expected an integer from 1 to 100, got 700" in data
    assert server.count(executions) - before < len(answers), "some of them did share a batch"


def test_a_server_does_not_start_on_a_damaged_release(damaged: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = damaged / "ranker/1/ranker.onnx"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    folder, base = tmp_path_factory.mktemp("refused"), free_port_base()
    started = launch(damaged, folder / "backends", http=base, grpc=base + 1, metrics=base + 2)
    with process(started.argv, folder / "triton.log", started.full_env()) as running:
        assert running.wait(60) != 0
    log = (folder / "triton.log").read_text(errors="replace")
    assert "ranker/1/ranker.onnx is not what was exported" in log
    with pytest.raises(ArtifactError):
        Release.open(damaged).verify()


def test_what_is_kept_is_found_by_the_next_request_and_both_are_counted(server: Server) -> None:
    """Every step that keeps vectors has made those of today by the second request."""

    def looks(outcome: str) -> float:
        return server.count(f'trireme_cache_lookups_total{{outcome="{outcome}"')

    server.ask(user_id="user-1")
    hits, misses = looks("hit"), looks("miss")
    assert misses > 0
    server.ask(user_id="user-1")
    assert (looks("hit") > hits, looks("miss")) == (True, misses)


def test_items_are_answered_and_what_is_said_of_them_is_heard(server: Server) -> None:
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
