"""The peer by gRPC: the same engine behind grpc.aio, with as much of KServe's protocol as perf_analyzer asks for.

``python -m tests.benchmarks.serving.peer_grpc RELEASE REDIS PORT`` (environment: .venv-peer). One process: what
perf_analyzer reads as the server's statistics is of one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import orjson
import uvloop
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc

from contracts.errors import RequestError
from contracts.tensors import ENSEMBLES
from tests.benchmarks.serving.peer_app import Service

_SPEC = next(ensemble for ensemble in ENSEMBLES if ensemble.name == "recommendations")
_INPUTS = [spec for spec in _SPEC.inputs if spec.name in ("user_id", "k", "deadline_ms")]


class Kserve(service_pb2_grpc.GRPCInferenceServiceServicer):
    """The calls that perf_analyzer makes, for one model."""

    def __init__(self, service: Service):
        self._service = service
        self._answered = 0

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802 (the protocol's names)
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return messages.ServerMetadataResponse(name="peer", version="1", extensions=["statistics"])

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        def told(specs: Any) -> list[Any]:
            return [
                messages.ModelMetadataResponse.TensorMetadata(
                    name=spec.name, datatype=_wire(spec.dtype), shape=[-1, *spec.dims]
                )
                for spec in specs
            ]

        return messages.ModelMetadataResponse(
            name=_SPEC.name,
            versions=["1"],
            platform="peer",
            inputs=told(_INPUTS),
            outputs=told(_SPEC.outputs[-1:]),
        )

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = messages.ModelConfigResponse()
        found.config.name, found.config.max_batch_size = _SPEC.name, 1
        for spec in _INPUTS:
            found.config.input.add(name=spec.name, data_type=f"TYPE_{spec.dtype}", dims=spec.dims)
        for spec in _SPEC.outputs[-1:]:
            found.config.output.add(name=spec.name, data_type=f"TYPE_{spec.dtype}", dims=spec.dims)
        return found

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = messages.ModelStatisticsResponse()
        one = found.model_stats.add(
            name=_SPEC.name, version="1", inference_count=self._answered, execution_count=self._answered
        )
        # By the queue's count perf_analyzer finds out which version of a model it measures.
        one.inference_stats.success.count = one.inference_stats.queue.count = self._answered
        return found

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        raw: dict[str, Any] = {}
        for tensor, content in zip(request.inputs, request.raw_input_contents):
            if tensor.datatype == "BYTES":
                raw[tensor.name] = content[4:].decode()
            else:
                raw[tensor.name] = int.from_bytes(content, "little", signed=True)
        try:
            text = orjson.dumps(self._service.answer(raw))
        except RequestError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._answered += 1
        found = messages.ModelInferResponse(model_name=_SPEC.name, model_version="1", id=request.id)
        found.outputs.add(name="response", datatype="BYTES", shape=[1, 1])
        found.raw_output_contents.append(len(text).to_bytes(4, "little") + text)
        return found


def _wire(dtype: str) -> str:
    return "BYTES" if dtype == "STRING" else dtype


async def serve(release: str, store: str, port: str) -> None:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Kserve(Service(release, store)), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(*sys.argv[1:]))
