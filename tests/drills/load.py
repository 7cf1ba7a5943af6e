"""Open-loop load through the public door: half by REST, half by gRPC, every answer looked at.

Open-loop: requests leave at their instants, whether earlier ones were answered or not, as strangers' requests do.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import math
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from contracts.requests import Source
from contracts.tensors import STEP_BY_NAME
from deploy.ports import HOST

#: Longer than Envoy lets a request take.
CLIENT_TIMEOUT_SECONDS = 5.0
#: So many requests may be under way at once: ``rate`` times the time that Envoy allows, with room.
MOST_AT_ONCE = 400
_SOURCES = {Source.PERSONAL, Source.SIMILAR, Source.TRENDING}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One request: when, how, and what was wrong with the answer ("" for nothing)."""

    sent: float
    ended: float
    protocol: str
    problem: str
    skipped: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Answered, and no stage was skipped."""
        return not self.problem and not self.skipped


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a correct answer is made of."""

    release: str
    items: Collection[str]

    def problem(self, answer: dict[str, Any], user: str, k: int) -> str:
        """What is wrong with an answer; "" when it is correct, maybe degraded."""
        ids = answer["item_ids"]
        checks = {
            "another user": answer["user_id"] == user,
            "another release": answer["release"] == self.release,
            f"{len(ids)} items instead of {k}": len(ids) == k,
            "an item twice": len(set(ids)) == len(ids),
            "an unknown item": all(item in self.items for item in ids),
            "scores": len(answer["scores"]) == k and all(math.isfinite(score) for score in answer["scores"]),
            "sources": len(answer["sources"]) == k and set(answer["sources"]) <= _SOURCES,
            "a label": all(one["stage"] in STEP_BY_NAME and one["reason"] for one in answer["skipped"]),
        }
        return ", ".join(name for name, holds in checks.items() if not holds)


class Load:
    """Sends requests at a rate; one load at a time."""

    def __init__(self, port: int, users: Sequence[str], expected: Expected, rate: float, seed: int):
        self._port = port
        self._users = users
        self._expected = expected
        self._rate = rate
        self._random = random.Random(seed)
        self._local = threading.local()
        self._channel = grpc.insecure_channel(f"{HOST}:{port}")
        self._grpc = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def close(self) -> None:
        """Close what is shared."""
        self._channel.close()

    def run(self, count: int, advance: Callable[[int], None]) -> list[Outcome]:
        """Send ``count`` requests; ``advance`` is told after each how many were sent."""
        outcomes = []
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            started = time.monotonic()
            for i in range(count):
                time.sleep(max(0.0, started + i / self._rate - time.monotonic()))
                user = self._random.choice(self._users) if self._random.random() < 0.9 else f"stranger-{i}"
                k = self._random.choice((5, 10, 20, 50))
                ask = self._ask_rest if i % 2 else self._ask_grpc
                outcomes.append(pool.submit(self._one, ask, user, k))
                advance(i + 1)
            return [outcome.result() for outcome in outcomes]

    def _one(self, ask: Callable[[str, int], dict[str, Any]], user: str, k: int) -> Outcome:
        sent, protocol = time.monotonic(), "rest" if ask == self._ask_rest else "grpc"
        try:
            answer = ask(user, k)
            problem = self._expected.problem(answer, user, k)
            skipped = tuple(one["stage"] for one in answer["skipped"])
        except grpc.RpcError as error:
            problem, skipped = f"{error.code().name}: {error.details()}"[:300], ()  # pyright: ignore
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            problem, skipped = f"{type(error).__name__}: {error}"[:300], ()
        return Outcome(sent, time.monotonic(), protocol, problem, skipped)

    def _ask_rest(self, user: str, k: int) -> dict[str, Any]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(HOST, self._port, timeout=CLIENT_TIMEOUT_SECONDS)
            self._local.connection = connection
        try:
            connection.request("POST", "/v1/recommendations", json.dumps({"user_id": user, "k": k}))
            answer = connection.getresponse()
            body = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {body[:200]!r}")
        return json.loads(body)

    def _ask_grpc(self, user: str, k: int) -> dict[str, Any]:
        request = service_pb2.ModelInferRequest(model_name="recommendations")
        name = request.inputs.add(name="user_id", datatype="BYTES", shape=[1, 1])
        name.contents.bytes_contents.append(user.encode())
        request.inputs.add(name="k", datatype="INT32", shape=[1, 1]).contents.int_contents.append(k)
        request.outputs.add(name="response")
        answer = self._grpc.ModelInfer(request, timeout=CLIENT_TIMEOUT_SECONDS)
        return json.loads(answer.raw_output_contents[0][4:])
