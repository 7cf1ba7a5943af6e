"""Requests that no client should send, made up from a seed: what they hold, and what they may be answered with."""

from __future__ import annotations

import dataclasses
import json
import random
import string
import struct
from collections.abc import Iterator
from typing import Any

from tritonclient.grpc import service_pb2

from contracts.tensors import STEPS

INFER = "/inference.GRPCInferenceService/ModelInfer"
#: Codes by which gRPC says that the caller is at fault, or may not.
REFUSALS = frozenset(
    {"INVALID_ARGUMENT", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "OUT_OF_RANGE", "NOT_FOUND"}
)
_LETTERS = string.printable + "äß漢\u202e\U0001f4a5\x00\x7f"


@dataclasses.dataclass(frozen=True)
class Rest:
    """An HTTP request; any 4xx refuses it."""

    method: str
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class Raw:
    """Bytes on a connection: a 4xx, or the end of the connection, refuses them."""

    data: bytes


@dataclasses.dataclass(frozen=True)
class Grpc:
    """A unary call with any bytes as its message."""

    path: str
    message: bytes


def malice(seed: int) -> Iterator[Rest | Raw | Grpc]:
    """Without end."""
    chance = random.Random(seed)
    while True:
        draw = chance.random()
        if draw < 0.45:
            yield Rest("POST", chance.choice(("/v1/recommendations", "/v1/similar-items")), _body(chance))
        elif draw < 0.52:
            yield _strange_rest(chance)
        elif draw < 0.55:
            yield Raw(_broken_http(chance))
        elif draw < 0.95:
            yield Grpc(INFER, _message(chance))
        else:
            yield Grpc(_method(chance), _message(chance))


def _body(chance: random.Random) -> bytes:
    """A body that breaks the contract in one place or altogether."""
    kind = chance.randrange(10)
    if kind == 0:
        return chance.randbytes(chance.choice((0, 1, 7, 300, 5000))) + b"\xff"
    if kind == 1:
        return chance.choice((b"[", b'{"a":', b"[[],")) * chance.choice((10, 1000, 12_000))
    if kind == 2:
        return json.dumps(_anything(chance, 3)).encode() if chance.random() < 0.5 else _killer(chance)
    if kind == 3:
        text = chance.choice(("NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, "-0.0", "0x10", "1_000"))
        return f'{{"user_id": "u", "k": {text}}}'.encode()
    if kind == 4:
        return json.dumps({"user_id": "u", _text(chance, 40) + "?": _anything(chance, 1)}).encode()
    if kind == 5:
        user = {"user_id": "u"}
        return json.dumps({"requests": chance.choice(([], 7, {}, "x", [user] * 257, None))}).encode()
    fields = {
        "user_id": (None, 7, -1, "", [], {}, True, "x" * 129, "a\nb", "\u0000", 1e308),
        "k": (0, -1, 101, 2**31, 2**63, 2**64, -(2**63), 10**30, 1.5, "20", None, [], True),
        "region": (7, None, [], {"a": 1}, "r" * 129, "\u202e", False),
        "exclude_ids": (7, "i", {}, None, ["i"] * 501, [7], [None], [""], ["x" * 129], [["i"]]),
        "request_id": (7, None, [], "r" * 129, "\n"),
        "anonymous_id": (7, [], "x" * 129, "\n", {}),
        "device": (7, [], "x" * 129, "\n", {}),
        "session_id": (7, [], "x" * 129, "\n", {}),
        "context": (7, [], {"a": [1]}, {"a": {}}, {str(i): 1 for i in range(17)}, "x"),
        "candidate_filter": (7, [], {"category": 7}, {"nothing": 1}, {"price_min": "1"}, {"available": "yes"}),
        "diversity": (-0.1, 1.1, "1", [], {}, 1e308),
        "deadline_ms": (0, -5, 10_001, 2**40, 0.5, "1", None, [], True),
    }
    field = chance.choice(sorted(fields))
    return json.dumps({"user_id": "u", field: chance.choice(fields[field])}).encode()


def _killer(chance: random.Random) -> bytes:
    """Triton's own JSON; a shape of 2^40 ends a server that reads it."""
    shape = chance.choice(([2**40, 1], [2**62], [-1], [0], [1] * 1000))
    tensor = {"name": "request", "datatype": chance.choice(("BYTES", "FP64", "NO")), "shape": shape, "data": ["x"]}
    return json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()


def _strange_rest(chance: random.Random) -> Rest:
    kind = chance.randrange(5)
    if kind == 0:
        paths = (
            "/v2",
            "/v2/repository/index",
            "/metrics",
            "/stats",
            "/%2e%2e/v2",
            "/v1/recommendations/%00",
            "//",
            "/*",
        )
        return Rest(chance.choice(("GET", "POST", "PUT")), chance.choice(paths), _killer(chance))
    if kind == 1:
        method = chance.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"))
        return Rest(method, "/v1/recommendations", b"")
    if kind == 2:
        bomb = (("x-" + _name(chance), "y" * chance.choice((10, 60_000))) for _ in range(chance.choice((2, 150))))
        return Rest("POST", "/v1/recommendations", b"{}", tuple(bomb))
    if kind == 3:
        headers = (("content-encoding", "gzip"), ("inference-header-content-length", str(chance.randrange(2**34))))
        return Rest("POST", "/v1/recommendations", b"\x1f\x8b" + chance.randbytes(60), headers)
    return Rest("POST", "/v1/recommendations", b" " * chance.choice((65_537, 200_000, 1_000_000)))


def _broken_http(chance: random.Random) -> bytes:
    start = b"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\n"
    return chance.choice(
        (
            chance.randbytes(200) + b"\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            start + b"content-length: -1\r\n\r\n",
            start + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
            start + b"content-length: 99999999999999999999\r\n\r\n",
            start + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
            start + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
            start + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
            start + b"a\x00b: c\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(100),
            b"POST " + b"/a" * 50_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        )
    )


def _message(chance: random.Random) -> bytes:
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.choice((0, 1, 5, 50, 5000)))
    message = service_pb2.ModelInferRequest(model_name=_model(chance))
    if kind == 1:
        whole = _filled(chance, message, [1, 1]).SerializeToString()
        return whole[: chance.randrange(2, len(whole))]
    if kind == 2:
        return service_pb2.ModelInferRequest(model_name="recommendations").SerializeToString()
    if kind == 3:
        message.inputs.add(name=_name(chance), datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"u")
        return message.SerializeToString()
    if kind == 4:
        message.inputs.add(name="user_id", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"u")
        k = message.inputs.add(name="k", datatype="INT32", shape=[1, 1])
        k.contents.int_contents.append(chance.choice((0, -1, 101, 2**31 - 1, -(2**31))))
        return message.SerializeToString()
    if kind == 5:
        name = message.inputs.add(name="user_id", datatype=chance.choice(("FP32", "INT64", "NO", "")), shape=[1, 1])
        name.contents.fp32_contents.append(1.0)
        return message.SerializeToString()
    if kind == 6:
        message.inputs.add(name="user_id", datatype="BYTES", shape=[1, 1])
        lie = struct.pack("<I", chance.choice((2**32 - 1, 2**31, 9))) + b"u"
        message.raw_input_contents.extend([lie] * chance.choice((1, 2)))
        return message.SerializeToString()
    return _filled(chance, message, _shape(chance)).SerializeToString()


def _filled(chance: random.Random, message: Any, shape: list[int]) -> Any:
    user = message.inputs.add(name="user_id", datatype="BYTES", shape=shape)
    values = chance.choice(([b""], [b"\xff\xfe"], [b"x" * 129], [b"a\nb"], [b""] * 65, [b"u"] * 1000, []))
    user.contents.bytes_contents.extend(values)
    return message


def _shape(chance: random.Random) -> list[int]:
    shapes = ([2**40, 1], [2**62, 2**62], [10**6, 1], [65, 1], [0, 1], [-1, 1], [-(2**63), 1], [1], [], [1, 2], [1] * 9)
    return list(chance.choice(shapes))


def _model(chance: random.Random) -> str:
    internal = (
        *(step.name for step in STEPS),
        "recommend",
        "",
        "../native",
        "recommendations/../ranker",
        _name(chance),
    )
    return "recommendations" if chance.random() < 0.7 else chance.choice(internal)


def _method(chance: random.Random) -> str:
    names = (
        "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", "ModelMetadata", "ModelConfig",
        "ServerMetadata", "ModelStatistics", "TraceSetting", "LogSettings", "SystemSharedMemoryRegister",
        "CudaSharedMemoryStatus", "ModelStreamInfer", "NoSuchThing",
    )  # fmt: skip
    return f"/inference.GRPCInferenceService/{chance.choice(names)}"


def _anything(chance: random.Random, depth: int) -> Any:
    if depth and chance.random() < 0.4:
        return [_anything(chance, depth - 1) for _ in range(chance.randrange(5))]
    if depth and chance.random() < 0.4:
        return {_text(chance, 5): _anything(chance, depth - 1) for _ in range(chance.randrange(5))}
    return chance.choice((None, True, -1, 2**70, 1.5e300, _text(chance, 20)))


def _text(chance: random.Random, most: int) -> str:
    return "".join(chance.choice(_LETTERS) for _ in range(chance.randrange(most + 1)))


def _name(chance: random.Random) -> str:
    return "".join(chance.choice(string.ascii_lowercase) for _ in range(8))
