"""A real tritonserver over a release, by the python steps or by the C++ backend, with a Redis of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import redis
from tritonclient import grpc

from contracts.features import feature_views
from contracts.online_layout import PROJECT, encode, row_key
from deploy.parts import redis_argv
from deploy.tritonserver import Native, launch
from ensemble.steps.release import Release
from tests.ensemble.backend.conftest import make
from tests.ensemble.made_up import World
from tests.running import free_port_base, process, wait_until

PYTHON, NATIVE = "python", "native"
#: Arm of the experiment that these servers answer for.
VARIANT = "blue"


@dataclasses.dataclass(frozen=True)
class Server:
    http: int
    grpc: int
    metrics: int
    redis: int
    redis_pid: int = 0

    def know(self, world: World) -> None:
        """Rows of the world's first ten users, in the server's Redis."""
        client, now = redis.Redis(port=self.redis), int(world.time.max())
        for user in range(10):
            for view in feature_views(world.config.features):
                key = row_key(PROJECT, "user_id", world.user_ids[user])
                client.hset(key, mapping=encode(view, world.row(user, now + 1), now))
        client.close()

    def post(self, body: bytes, model: str = "recommendations_json") -> tuple[int, bytes]:
        """As Envoy hands over a body: raw, unparsed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=10)
        try:
            connection.request("POST", f"/v2/models/{model}/infer", body, {"Inference-Header-Content-Length": "0"})
            answer = connection.getresponse()
            data = answer.read()
            header = int(answer.getheader("Inference-Header-Content-Length", "0"))
            return answer.status, data[header + 4 :] if answer.status == 200 else data
        finally:
            connection.close()

    def ask(self, **fields: object) -> dict:
        status, data = self.post(json.dumps(fields).encode())
        assert status == 200, data
        return json.loads(data)

    def get(self, port: int, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def count(self, name: str) -> float:
        """The one figure of the metrics page that begins so."""
        _, text = self.get(self.metrics, "/metrics")
        (line,) = [x for x in text.splitlines() if x.startswith(name)]
        return float(line.rsplit(" ", 1)[1])


@contextlib.contextmanager
def serving(by: str, release: Release, world: World, folder: Path) -> Iterator[Server]:
    """A server that knows the world's first ten users and lives to the end."""
    if by == NATIVE:
        make("build/libtriton_trireme.so")
    base = free_port_base()
    ports = {"http": base, "grpc": base + 1, "metrics": base + 2}
    store = f"127.0.0.1:{base + 3}"
    told = Native(redis=store, variant=VARIANT) if by == NATIVE else None
    started = launch(release.root, folder / "backends", **ports, native=told)
    env = {**started.full_env(), "TRIREME_REDIS": store, "TRIREME_VARIANT": VARIANT}
    with (
        process(redis_argv(base + 3, folder), folder / "redis.log") as held,
        process(started.argv, folder / "triton.log", env) as running,
    ):
        made = Server(**ports, redis=base + 3, redis_pid=held.pid)
        ready = lambda: made.get(made.http, "/v2/health/ready")[0] == 200  # noqa: E731
        wait_until(ready, "tritonserver", folder / "triton.log", seconds=60)
        made.know(world)
        yield made
        assert running.poll() is None, "the server lived through all of it"


def typed(client: grpc.InferenceServerClient, users: list[bytes], k: list[int] | None = None) -> grpc.InferResult:
    ids = np.array(users, object).reshape(-1, 1)
    inputs = [grpc.InferInput("user_id", list(ids.shape), "BYTES").set_data_from_numpy(ids)]
    if k is not None:
        numbers = np.array(k, np.int32).reshape(-1, 1)
        inputs.append(grpc.InferInput("k", list(numbers.shape), "INT32").set_data_from_numpy(numbers))
    return client.infer("recommendations", inputs, client_timeout=10)
