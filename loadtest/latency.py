"""How long one client waits, by REST and by gRPC, through Envoy: a bounded number of requests, one at a time."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tritonclient.grpc as triton

from contracts import artifacts
from contracts.config import Config
from contracts.door import door_settings
from contracts.errors import StackError
from contracts.stack import StackSettings

WARM_UP = 20
K = 20


def measure(config: Config, settings: StackSettings, count: int, seed: int = 20) -> dict[str, Any]:
    """Ask for seeded households' lists, ``count`` times by each protocol.

    Returns:
        ``rest_p50_ms``, ``rest_p95_ms``, ``grpc_p50_ms``, ``grpc_p95_ms`` and ``requests``.

    Raises:
        StackError: when the stack does not answer.
    """
    zones = artifacts.zones(settings.root, config)
    known = pq.read_table(f"{zones.features}/user_profile.parquet", columns=["user_id"])["user_id"].to_pylist()
    users = random.Random(seed).sample(known, len(known))
    port = settings.port_base
    door = door_settings()
    rest = door.connect(port, timeout_seconds=5)
    grpc = triton.InferenceServerClient(door.address(port), **door.grpc_tls())
    try:
        result = {}
        for name, ask in (
            ("rest", lambda user: _rest(rest, user, door.headers())),
            ("grpc", lambda user: _grpc(grpc, user, door.headers())),
        ):
            times = _times(ask, users, count)
            result[f"{name}_p50_ms"] = round(float(np.percentile(times, 50)), 2)
            result[f"{name}_p95_ms"] = round(float(np.percentile(times, 95)), 2)
    except (OSError, http.client.HTTPException, triton.InferenceServerException) as error:
        raise StackError(
            f"{door.url(port)} does not answer: {error}; is the stack up? python -m deploy status"
        ) from error
    finally:
        rest.close()
        grpc.close()
    return {**result, "requests": count}


def _times(ask: Callable[[str], None], users: Sequence[str], count: int) -> np.ndarray:
    """Milliseconds per request, float64 ``[count]``, after a warm-up."""
    times = np.empty(count)
    for i, user in enumerate(itertools.islice(itertools.cycle(users), WARM_UP + count)):
        started = time.perf_counter()
        ask(user)
        if i >= WARM_UP:
            times[i - WARM_UP] = (time.perf_counter() - started) * 1000
    return times


def _rest(connection: http.client.HTTPConnection, user: str, headers: dict[str, str]) -> None:
    body = json.dumps({"user_id": user, "k": K})
    connection.request("POST", "/v1/recommendations", body, {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise StackError(f"POST /v1/recommendations for user {user}: got {answer.status}: {text[:300]!r}")


def _grpc(client: triton.InferenceServerClient, user: str, headers: dict[str, str]) -> None:
    inputs = [triton.InferInput("user_id", [1, 1], "BYTES"), triton.InferInput("k", [1, 1], "INT32")]
    inputs[0].set_data_from_numpy(np.array([[user]], np.object_))
    inputs[1].set_data_from_numpy(np.array([[K]], np.int32))
    client.infer("recommendations", inputs, headers=headers)
