"""The whole way on the smoke data, as a newcomer walks it: one command, then ask, click, break, stop and start again.

The tests stand in the order in which they run; the later ones stop parts.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
import urllib.request

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
import yaml

from contracts.requests import Source
from deploy import learn
from deploy.catalogue import read_catalogue, read_histories, shuffled_users
from deploy.client import Client, now_ms
from deploy.ports import HOST
from deploy.site import Site, open_site
from tests.conftest import CONFIG, Platform

pytestmark = [
    pytest.mark.integration,
    # The first test waits for the whole pipeline.
    pytest.mark.timeout(1200),
]
PROMISED = {
    "minutes", "events", "quarantined", "ndcg_at_10", "ndcg_at_10_popular", "rest_p50_ms", "grpc_p50_ms",
    "learned_in_ms", "release", "public_url", "events_url",
}  # fmt: skip


@pytest.fixture
def running(platform) -> Platform:
    return platform[0]


@pytest.fixture
def site(running: Platform, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("TRIREME_ROOT", str(running.root))
    monkeypatch.setenv("TRIREME_PORT_BASE", str(running.port_base))
    return open_site(CONFIG)


@pytest.fixture
def client(site: Site):
    with Client(site.ports["public"]) as client:
        yield client


def _ask_grpc(site: Site, user_id: str, k: int = 20) -> dict[str, list]:
    inputs = [triton.InferInput("user_id", [1, 1], "BYTES"), triton.InferInput("k", [1, 1], "INT32")]
    inputs[0].set_data_from_numpy(np.array([[user_id]], np.object_))
    inputs[1].set_data_from_numpy(np.array([[k]], np.int32))
    with triton.InferenceServerClient(f"{HOST}:{site.ports['public']}") as client:
        answer = client.infer("recommendations", inputs)
    response = json.loads(answer.as_numpy("response")[0, 0])
    items = [item.decode() for item in answer.as_numpy("item_ids")[0] if item]
    return {"item_ids": items, "scores": answer.as_numpy("scores")[0].tolist()[: len(items)], "response": response}


def _post(site: Site, path: str, body: bytes) -> tuple[int, dict]:
    connection = http.client.HTTPConnection(HOST, site.ports["public"], timeout=10)
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    status, text = answer.status, answer.read()
    connection.close()
    return status, json.loads(text)


def test_the_last_line_of_run_holds_what_was_promised(platform):
    figures = platform[1]
    assert set(figures) >= PROMISED
    assert figures["events"] > 30_000
    assert figures["quarantined"] > 0
    assert figures["ndcg_at_10"] >= 1.1 * figures["ndcg_at_10_popular"]


def test_a_hundred_households_see_it_learn_within_a_second(platform):
    figures = platform[1]
    assert figures["households"] == 100
    assert figures["households_rose"] >= 90
    assert figures["mean_rise"] >= 0.2
    assert figures["learned_in_ms"] < 1000


def test_a_user_never_seen_gets_trending_first_and_personal_after_three_purchases(site, client):
    lesson = learn.teach(client, f"newcomer-{now_ms()}", frozenset(), "", read_catalogue(site), seed=1)
    assert set(lesson.before["sources"]) == {Source.TRENDING}
    assert lesson.before["feature_age_ms"] == -1
    assert set(lesson.after["sources"]) & {Source.PERSONAL, Source.SIMILAR}
    assert lesson.share_after >= lesson.share_before + 0.2


def test_rest_and_grpc_give_the_same_answer(site, client):
    for user in shuffled_users(read_histories(site), seed=2)[:20]:
        rest, grpc = client.recommend(user), _ask_grpc(site, user)
        assert len(rest["item_ids"]) == 20
        assert grpc["item_ids"] == rest["item_ids"] == grpc["response"]["item_ids"]
        np.testing.assert_allclose(grpc["scores"], rest["scores"], rtol=1e-5)
        assert rest["skipped"] == []


def test_what_was_bought_is_not_recommended(site, client):
    histories = read_histories(site)
    for user in shuffled_users(histories, seed=3)[:20]:
        assert not set(client.recommend(user, 100)["item_ids"]) & histories[user][1]


def _said_of(item_id: str, **attributes: str) -> dict:
    event = {"event_id": f"said-{now_ms()}", "event_type": "item_update", "event_time": now_ms(), "item_id": item_id}
    return {**event, "attributes": attributes}


def _wait_for_answers(client, user: str, wanted) -> None:
    """Until ten answers in a row, so that of every server, are as wanted: a second for the look, one for the way."""
    end, row = time.monotonic() + 10, 0
    while row < 10:
        assert time.monotonic() < end, "the update of an item was not heard of"
        answer = client.recommend(user)
        assert len(answer["item_ids"]) == 20
        row = row + 1 if wanted(answer["item_ids"]) else 0


def test_an_item_that_is_gone_is_not_answered_until_it_is_back(client, site):
    user = f"stranger-{now_ms()}"
    item = client.recommend(user)["item_ids"][0]
    client.send(_said_of(item, available="false"))
    _wait_for_answers(client, user, lambda ids: item not in ids)
    other = client.recommend(user)["item_ids"][0]
    status, alike = _post(site, "/v1/similar-items", json.dumps({"item_id": other, "k": 100}).encode())
    assert status == 200 and item not in alike["item_ids"]
    client.send(_said_of(item, available="true"))
    _wait_for_answers(client, user, lambda ids: ids[0] == item)


def test_items_like_an_item_by_rest_and_grpc(site):
    item = next(iter(read_catalogue(site).department_of))
    status, rest = _post(site, "/v1/similar-items", json.dumps({"item_id": item}).encode())
    assert (status, rest["item_id"], len(rest["item_ids"])) == (200, item, 20)
    assert item not in rest["item_ids"] and rest["sources"][0] == Source.SIMILAR
    tensor = triton.InferInput("item_id", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[item]], np.object_))
    with triton.InferenceServerClient(f"{HOST}:{site.ports['public']}") as client:
        grpc = client.infer("similar_items", [tensor])
    assert [name.decode() for name in grpc.as_numpy("item_ids")[0]] == rest["item_ids"]
    status, refused = _post(site, "/v1/similar-items", b'{"user_id": "u"}')
    assert (status, refused["error"].split(":")[0]) == (400, "user_id")


def test_every_tritonserver_answers_the_golden_requests_as_the_release_recorded_them(running, site):
    release = f"{site.zones.releases}/{site.release()}"
    for server in ("triton_a", "triton_b"):
        address = f"{HOST}:{site.ports[f'{server}_grpc']}"
        assert running.figures("ensemble", "golden", release, "--grpc", address)["replayed"] > 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"user_id": ""}', "user_id"),
        (b'{"user_id": "u", "k": 0}', "k"),
        (b'{"user_id": "u", "kk": 5}', "kk"),
        (b'{"user_id": "u", "exclude_ids": "i1"}', "exclude_ids"),
        (b"nonsense", "body"),
        (b"[" * 60_000, "body"),
        (json.dumps({"inputs": [{"name": "request", "shape": [2**40, 1], "datatype": "BYTES"}]}).encode(), "inputs"),
    ],
)
def test_a_wrong_request_is_400_and_names_the_field(site, body, field):
    status, answer = _post(site, "/v1/recommendations", body)
    assert status == 400
    assert answer["error"].startswith(f"{field}: ")


def test_a_wrong_event_is_400_and_names_the_field(site):
    event = learn.purchase("u", "i", "", now_ms())
    status, answer = _post(site, "/v1/events", json.dumps({**event, "event_time": 5}).encode())
    assert status == 400
    assert "event_time" in json.dumps(answer)


def test_an_internal_step_cannot_be_called(site):
    with triton.InferenceServerClient(f"{HOST}:{site.ports['public']}") as client:
        tensor = triton.InferInput("request", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([['{"user_id": "u"}']], np.object_))
        for step in ("feature_lookup", "retrieval", "ranker", "cold_start", "recommend"):
            with pytest.raises(triton.InferenceServerException) as caught:
                client.infer(step, [tensor])
            assert caught.value.status() == "StatusCode.PERMISSION_DENIED"


def test_prometheus_finds_metrics_at_every_target(running):
    config = yaml.safe_load((running.zone / "stack" / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs) == {"envoy", "collector", "lake", "processor", "impressions", "triton_a", "triton_b", "watchdog"}
    expected = {"envoy": "envoy_http_downstream_rq_total", "triton_a": "nv_inference_request_success"}
    for name, job in jobs.items():
        (target,) = job["static_configs"][0]["targets"]
        with urllib.request.urlopen(f"http://{target}{job['metrics_path']}", timeout=5) as answer:
            text = answer.read().decode()
        assert "# TYPE" in text
        assert expected.get(name, "") in text


def test_status_lists_every_part_with_its_port_and_since_when(running):
    parts = {part["name"]: part for part in running.figures("deploy", "status", CONFIG)["parts"]}
    names = {"redis", "broker", "collector", "lake", "processor", "impressions", "triton_a", "triton_b", "envoy"}
    assert set(parts) == names | {"watchdog"}
    for part in parts.values():
        assert part["state"] == "RUNNING"
        assert part["ports"] and part["since"]
        assert psutil.pid_exists(part["pid"])


def test_the_stack_listens_on_loopback_only(running):
    pids = {part["pid"] for part in running.figures("deploy", "status", CONFIG)["parts"]}
    listening = [c.laddr.ip for c in psutil.net_connections("inet") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert listening
    # tritonserver's gRPC listens on a v6 socket, at the mapped v4 address.
    assert {address.removeprefix("::ffff:") for address in listening} == {HOST}


def test_a_second_up_changes_nothing(running):
    before = {part["name"]: part["pid"] for part in running.figures("deploy", "status", CONFIG)["parts"]}
    running.figures("deploy", "up", CONFIG)
    assert {part["name"]: part["pid"] for part in running.figures("deploy", "status", CONFIG)["parts"]} == before


def test_a_part_that_dies_comes_back_and_learning_goes_on(running, site, client):
    (processor,) = (p for p in running.figures("deploy", "status", CONFIG)["parts"] if p["name"] == "processor")
    os.kill(processor["pid"], signal.SIGKILL)
    user = f"survivor-{now_ms()}"
    catalogue = read_catalogue(site)
    item = next(iter(catalogue.department_of))
    client.send(learn.purchase(user, item, "", now_ms()))
    end = time.monotonic() + 20
    while client.recommend(user)["feature_age_ms"] < 0:
        assert time.monotonic() < end, "the event was not folded within 20 s of the processor's death"
        time.sleep(0.1)
    assert item not in client.recommend(user, 100)["item_ids"]


def test_down_and_up_keeps_what_was_learned_and_learns_on_though_the_broker_forgot(running, site):
    catalogue, histories = read_catalogue(site), read_histories(site)
    with Client(site.ports["public"]) as client:
        user, other = learn.rested(client, shuffled_users(histories, seed=5), 2)
        region, seen = histories[user]
        first = learn.teach(client, user, seen, region, catalogue, seed=5)
    processes = _family(running)
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        assert running.figures("deploy", "down", CONFIG)["was_up"] is True
        assert [process for process in processes if process.is_running()] == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    states = {part["state"] for part in running.figures("deploy", "status", CONFIG)["parts"]}
    assert states == {"STOPPED"}
    assert running.figures("deploy", "down", CONFIG)["was_up"] is False
    running.figures("deploy", "up", CONFIG)
    with Client(site.ports["public"]) as client:
        again = client.recommend(user)
        assert again["item_ids"] == first.after["item_ids"]
        assert catalogue.share(again["item_ids"], first.plan.department) > first.share_before
        region, seen = histories[other]
        second = learn.teach(client, other, seen, region, catalogue, seed=6)
    assert second.learned_ms is not None
    assert second.share_after > second.share_before


def _family(running: Platform) -> list[psutil.Process]:
    pids = [part["pid"] for part in running.figures("deploy", "status", CONFIG)["parts"]]
    parents = [psutil.Process(pid) for pid in pids]
    return [*parents, *(child for parent in parents for child in parent.children(recursive=True))]
