"""The door, as a stranger meets it: what gets in, what does not, and in which words."""

from __future__ import annotations

import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from contracts import openapi
from deploy.envoy.config import EVENTS_PER_SECOND, MAX_BODY_BYTES
from deploy.ports import HOST
from deploy.readiness import http_get
from tests.deploy.conftest import ask, get_status, post

pytestmark = pytest.mark.integration


@pytest.fixture
def client(edge):
    with triton.InferenceServerClient(f"{HOST}:{edge['public']}") as client:
        yield client


def _input(name: str, value: object) -> triton.InferInput:
    tensor = triton.InferInput(name, [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value]], np.object_))
    return tensor


def _status(call) -> tuple[str, str]:
    with pytest.raises(triton.InferenceServerException) as caught:
        call()
    return caught.value.status().removeprefix("StatusCode."), caught.value.message()


def test_a_rest_answer_is_the_models_json_without_framing(edge):
    status, headers, answer = ask(edge["public"], {"user_id": "ü – 1", "k": 3})
    assert (status, headers["content-type"]) == (200, "application/json")
    assert answer == {"user_id": "ü – 1", "model": "recommendations_json", "padding": "xxx"}
    assert "inference-header-content-length" not in headers


def test_similar_items_have_a_route_of_their_own(edge):
    status, _, body = post(edge["public"], "/v1/similar-items", b'{"item_id": "i", "k": 2}')
    assert (status, json.loads(body)) == (200, {"item_id": "i", "model": "similar_items_json", "padding": "xx"})
    assert get_status(edge["public"], "/v1/similar-items") == 404


@pytest.mark.parametrize("size", [0, 200, 256 - 60, 65_000, 4_000_000])
def test_the_framing_is_removed_at_every_length(edge, size):
    answer = ask(edge["public"], {"user_id": "u", "k": size})
    assert len(answer[2].get("padding", str(answer))) == size


@pytest.mark.parametrize("headers", [{"Inference-Header-Content-Length": "7"}, {"content-encoding": "gzip"}])
def test_headers_of_the_client_do_not_change_how_the_body_is_read(edge, headers):
    assert ask(edge["public"], {"user_id": "u"}, **headers)[0] == 200


def test_a_query_string_does_not_reach_the_model_path(edge):
    status, _, _ = post(edge["public"], "/v1/recommendations?model=secret_step", b'{"user_id": "u"}')
    assert status == 200


def test_a_refused_request_is_400_with_the_reason_and_without_internals(edge):
    status, headers, answer = ask(edge["public"], {"k": 3})
    assert (status, headers["content-type"]) == (400, "application/json")
    assert answer == {"error": 'user_id: expected a non-empty "string"'}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\x00"])
def test_a_body_that_is_no_json_is_400(edge, body):
    status, _, answer = post(edge["public"], "/v1/recommendations", body)
    assert status == 400
    assert json.loads(answer)["error"].startswith("body: expected a JSON object")


def test_a_broken_model_is_500_and_keeps_its_stack_trace_to_itself(edge):
    status, _, answer = ask(edge["public"], {"user_id": "broken"})
    assert status == 500
    assert answer == {"error": "the recommender could not answer; try again"}


def test_a_body_over_the_limit_is_413(edge):
    status, headers, answer = post(edge["public"], "/v1/recommendations", b" " * (MAX_BODY_BYTES + 1))
    assert status == 413
    assert headers["content-type"] == "application/json"
    assert str(MAX_BODY_BYTES) in json.loads(answer)["error"]


def test_the_json_that_ends_a_tritonserver_does_not_reach_one(edge):
    tensor = {"name": "request", "datatype": "BYTES", "shape": [2**40, 1], "data": ["x"]}
    killer = json.dumps({"inputs": [tensor]}).encode()
    for path in ("/v2/models/recommendations_json/infer", "/v2/models/recommendations_json/generate"):
        assert post(edge["public"], path, killer)[0] == 404
    assert post(edge["public"], "/v1/recommendations", killer)[0] == 400
    for server in ("triton_a", "triton_b"):
        assert get_status(edge[f"{server}_http"], "/v2/health/live") == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/v2", "/v2/health/ready", "/v2/models/secret_step", "/v2/repository/index", "/metrics", "/stats",
     "/v1/recommendations/", "/v1//recommendations", "/v1/../v2/health/live", "/v1/%2e%2e/v2", "/v1/recommendations"],
)  # fmt: skip
def test_everything_else_is_404(edge, path):
    assert get_status(edge["public"], path) == 404


def test_the_interface_is_told_as_it_is_committed(edge):
    connection = http.client.HTTPConnection(HOST, edge["public"], timeout=5)
    connection.request("GET", "/openapi.json")
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert told.decode() == openapi.file().read_text(encoding="utf-8")


def test_health_is_that_of_the_servers_behind(edge):
    assert http_get(edge["public"], "/healthz") == (200, b'{"status":"ok"}\n')


def test_events_over_the_rate_are_429_and_recommendations_are_not_touched(edge):
    def send(_: int) -> list[tuple[int, bytes]]:
        connection = http.client.HTTPConnection(HOST, edge["public"], timeout=10)
        seen = []
        for _ in range(EVENTS_PER_SECOND):
            connection.request("POST", "/v1/events", b"{}")
            answer = connection.getresponse()
            seen.append((answer.status, answer.read()))
        connection.close()
        return seen

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for seen in pool.map(send, range(4)) for answer in seen]
    assert {status for status, _ in answers} == {202, 429}
    assert sum(status == 202 for status, _ in answers) >= EVENTS_PER_SECOND
    refused = next(body for status, body in answers if status == 429)
    assert json.loads(refused) == {"error": "too many requests; slow down and send again"}
    assert ask(edge["public"], {"user_id": "u"})[0] == 200


def test_a_client_cannot_ask_envoy_for_retries_or_longer_time_outs(edge):
    headers = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "9"}
    # Each of them would be a 504 more often than not, if the millisecond were heeded.
    assert [ask(edge["public"], {"user_id": "u", "k": 60_000}, **headers)[0] for _ in range(20)] == [200] * 20


def test_grpc_answers_with_the_typed_tensors(client):
    answer = client.infer("recommendations", [_input("user_id", "u")])
    assert answer.as_numpy("item_ids").tolist() == [[b"item-1", b"item-2"]]
    assert answer.as_numpy("scores").tolist() == [[1.0, 0.5]]


def test_grpc_takes_the_json_model_as_well(client):
    answer = client.infer("recommendations_json", [_input("request", '{"user_id": "u"}')])
    assert json.loads(answer.as_numpy("response")[0, 0])["user_id"] == "u"


def test_an_internal_step_is_permission_denied(client):
    code, message = _status(lambda: client.infer("secret_step", [_input("request", '{"user_id": "u"}')]))
    assert code == "PERMISSION_DENIED"
    assert message == "only recommendations, similar_items, and both with _json, are public models"
    assert _status(lambda: client.is_model_ready("secret_step") or client.infer("", []))[0] == "PERMISSION_DENIED"


def test_a_refused_request_is_invalid_argument_by_grpc(client):
    code, message = _status(lambda: client.infer("recommendations", [_input("user_id", "")]))
    assert code == "INVALID_ARGUMENT"
    assert "user_id: expected" in message


def test_readiness_is_answered_for_public_models(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("recommendations")


def test_the_rest_of_tritons_service_is_unimplemented(client):
    calls = [
        client.get_model_repository_index,
        client.get_server_metadata,
        client.get_inference_statistics,
        client.get_trace_settings,
        client.get_system_shared_memory_status,
        lambda: client.get_model_metadata("recommendations"),
        lambda: client.load_model("secret_step"),
    ]
    assert [_status(call)[0] for call in calls] == ["UNIMPLEMENTED"] * len(calls)


def _raw_call(edge, message: bytes, compression=None) -> grpc.StatusCode:
    with grpc.insecure_channel(f"{HOST}:{edge['public']}") as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            infer(message, timeout=5, compression=compression)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def _message(name: str) -> bytes:
    request = service_pb2.ModelInferRequest(model_name=name, id="7")
    tensor = request.inputs.add(name="request", datatype="BYTES", shape=[1, 1])
    tensor.contents.bytes_contents.append(b'{"user_id": "u"}')
    return request.SerializeToString()


def test_a_public_name_in_front_of_a_secret_one_does_not_help(edge):
    # Protobuf: of two field 1 the last one counts, so Triton would run secret_step.
    public, secret = b"\x0a\x0frecommendations", b"\x0a\x0bsecret_step"
    body = _message("")
    assert _raw_call(edge, public + body + secret) == grpc.StatusCode.PERMISSION_DENIED
    assert _raw_call(edge, secret + body + public) == grpc.StatusCode.PERMISSION_DENIED


def test_the_name_may_stand_behind_other_fields(edge):
    assert _raw_call(edge, _message("") + b"\x0a\x14recommendations_json") == grpc.StatusCode.OK


@pytest.mark.parametrize(
    "message",
    [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x0frecommend", b"\x0b", b"\xff" * 11, b"\x08\x01", b"\x12\x011"],
    ids=["empty", "no length", "long length", "cut", "group", "endless varint", "wrong wire type", "no name"],
)
def test_a_message_that_names_no_model_readably_is_refused(edge, message):
    assert _raw_call(edge, message) == grpc.StatusCode.PERMISSION_DENIED


def test_a_compressed_message_is_refused_as_it_cannot_be_read(edge):
    message = _message("secret_step") + b"\x1a\xa0\x1f" + b"a" * 4000
    assert _raw_call(edge, message, grpc.Compression.Gzip) == grpc.StatusCode.UNIMPLEMENTED


def test_envoys_admin_and_the_servers_listen_on_loopback_only(edge):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which address would be used
        outside = probe.getsockname()[0]
    if outside.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    for name, port in edge.items():
        with socket.socket() as attempt:
            attempt.settimeout(0.5)
            assert attempt.connect_ex((outside, port)) != 0, name


def test_a_killed_server_is_not_noticed_by_clients(edge, edge_processes):
    statuses = []
    connection = http.client.HTTPConnection(HOST, edge["public"], timeout=10)
    for i in range(150):
        if i == 20:
            edge_processes["triton_b"].kill()
        connection.request("POST", "/v1/recommendations", b'{"user_id": "u"}')
        answer = connection.getresponse()
        statuses.append((answer.status, answer.read()))
    connection.close()
    assert [(i, answer) for i, answer in enumerate(statuses) if answer[0] != 200] == []
