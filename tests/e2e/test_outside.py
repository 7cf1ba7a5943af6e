"""From outside only the door's routes answer, and whoever abuses them is refused: the whole stack, in small."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contracts.tensors import FUSED, STEPS
from deploy.ports import HOST
from tests.conftest import CONFIG, Platform
from tests.drills.hostile import MOST_GROWTH_MIB, huge_bodies, storm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

REFUSED_PATHS = (
    "/", "/v1", "/v1/", "/v1/recommendations/", "/v1/recommendations/x", "/V1/recommendations",
    "/v1/recommendations%2f", "/v1/%72ecommendations/", "/v1//recommendations", "/v1/recommendations;x=1",
    "/v1/events/", "/v1/./events/..",
    "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/recommendations", "/v2/models/recommendations/infer",
    "/v2/models/recommendations_json/infer", "/v2/models/recommendations_json/generate", "/v2/models/ranker/infer",
    "/v2/models/recommend/infer", "/v2/models/feature_lookup/versions/1/infer", "/v2/repository/index",
    "/v2/repository/models/ranker/load", "/v2/repository/models/ranker/unload", "/v2/systemsharedmemory/status",
    "/v2/cudasharedmemory/status", "/v2/trace/setting", "/v2/logging", "/v2/models/stats", "/v1/../v2/repository/index",
    "/v1/%2e%2e/v2/repository/index", "/%76%32/health/live", "/v1/recommendations/../../v2/models/ranker/infer",
    "/metrics", "/stats", "/stats/prometheus", "/config_dump", "/clusters", "/quitquitquit", "/healthcheck/fail",
    "/invocations", "/ping", "/predict", "/healthz/", "/healthz/../metrics", "/favicon.ico",
)  # fmt: skip


@pytest.fixture
def running(platform) -> Platform:
    return platform[0]


@pytest.fixture
def service(running: Platform) -> Iterator[service_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(f"{HOST}:{running.port_base}") as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def _status(running: Platform, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(HOST, running.port_base, timeout=10)
    try:
        connection.request(method, path, b'{"user_id": "u"}' if method == "POST" else None, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", REFUSED_PATHS)
def test_no_other_path_answers_whatever_the_method_and_the_headers(running: Platform, path: str) -> None:
    tricks = {
        "x-envoy-original-path": "/v1/recommendations", "x-envoy-upstream-alt-stat-name": "x", "host": "127.0.0.1:8000",
        "x-forwarded-for": "127.0.0.1", "x-envoy-internal": "true", "x-http-method-override": "GET",
    }  # fmt: skip
    for method in ("GET", "POST"):
        for headers in ({}, tricks):
            assert _status(running, method, path, headers) in (400, 404), (method, headers)


def _refused(call, request) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        answer = call(request, timeout=10)
        list(answer)
    return caught.value.code().name


def test_no_step_answers_to_its_name_by_grpc(service: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
    internal = [*(step.name for step in STEPS), FUSED.name, "native/recommend", "recommendations ", "Recommendations"]
    for name in internal:
        for version in ("", "1"):
            request = service_pb2.ModelInferRequest(model_name=name, model_version=version)
            assert _refused(service.ModelInfer, request) == "PERMISSION_DENIED", name
            ready = service_pb2.ModelReadyRequest(name=name, version=version)
            assert _refused(service.ModelReady, ready) == "PERMISSION_DENIED", name


def test_nothing_else_of_the_service_is_there(service: service_pb2_grpc.GRPCInferenceServiceStub) -> None:
    request = service_pb2.ModelInferRequest(model_name="recommendations")
    assert _refused(service.ModelStreamInfer, iter([request])) == "UNIMPLEMENTED"
    closed = {
        "RepositoryIndex": service_pb2.RepositoryIndexRequest(),
        "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name="ranker"),
        "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name="recommendations"),
        "ServerMetadata": service_pb2.ServerMetadataRequest(),
        "ModelMetadata": service_pb2.ModelMetadataRequest(name="recommendations"),
        "ModelConfig": service_pb2.ModelConfigRequest(name="recommendations"),
        "ModelStatistics": service_pb2.ModelStatisticsRequest(name="recommendations"),
        "SystemSharedMemoryStatus": service_pb2.SystemSharedMemoryStatusRequest(),
        "CudaSharedMemoryStatus": service_pb2.CudaSharedMemoryStatusRequest(),
        "TraceSetting": service_pb2.TraceSettingRequest(),
        "LogSettings": service_pb2.LogSettingsRequest(),
    }
    open_to_all = {"ModelInfer", "ModelReady", "ModelStreamInfer", "ServerLive", "ServerReady"}
    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    shared_memory = {method.name for method in methods if method.name.endswith(("Register", "Unregister"))}
    assert {method.name for method in methods} == {*closed, *open_to_all, *shared_memory}
    for name, message in closed.items():
        assert _refused(getattr(service, name), message) == "UNIMPLEMENTED", name


def _family(running: Platform) -> dict[int, psutil.Process]:
    parts = [psutil.Process(part["pid"]) for part in running.figures("deploy", "status", CONFIG)["parts"]]
    return {p.pid: p for part in parts for p in (part, *part.children(recursive=True))}


def test_hostile_requests_are_refused_with_a_reason_and_leave_no_trace(running: Platform) -> None:
    before = _family(running)
    assert not storm(running.port_base, 300, seed=5)
    memory = sum(process.memory_full_info().pss for process in before.values())
    assert not storm(running.port_base, 1500, seed=6)
    assert not huge_bodies(running.port_base, 1)
    after = _family(running)
    assert set(after) == set(before), "a process was started again"
    grown = sum(process.memory_full_info().pss for process in after.values()) - memory
    assert grown < MOST_GROWTH_MIB * 2**20
