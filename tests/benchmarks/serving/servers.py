"""The servers that are compared, each with what it has cost so far, and Redis between them; ended by their own pids."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import redis

from deploy import tritonserver
from deploy.envoy.clusters import INFER_PATH
from deploy.envoy.config import write_config
from deploy.parts import envoy_argv, redis_argv
from deploy.ports import address, ports
from tests.benchmarks.serving.stages import FAMILY
from tests.running import process, wait_until

REPOSITORY = Path(__file__).resolve().parents[3]
PEER_PYTHON = REPOSITORY / ".venv-peer/bin/python"
HOST = "127.0.0.1"
ROUTE = "/v1/recommendations"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_START_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Server:
    """One way to be answered.

    Attributes:
        name: as the results name it.
        processes: all that works for it, by pid, without Redis; an Envoy before it is counted in ``door``.
        path: of REST, with the headers that belong to it.
        grpc: port of gRPC; 0: none.
        metrics: ports of Triton's metrics; none for a peer.
    """

    name: str
    processes: tuple[int, ...]
    port: int
    path: str = ROUTE
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    grpc: int = 0
    metrics: tuple[int, ...] = ()
    door: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        """Where REST is asked."""
        return f"http://{HOST}:{self.port}{self.path}"

    def cpu_seconds(self) -> tuple[float, float]:
        """User and system time so far of the server's processes with their children, and of Envoy."""
        return cpu_seconds(self.processes), cpu_seconds(self.door)

    def skipped(self) -> float:
        """Answers so far that a stage had no part in."""
        return sum(_counter(port, "trireme_skipped_total") for port in self.metrics)

    def answered(self) -> float:
        """Answers so far, where the server counts them."""
        return sum(_counter(port, "trireme_answers_total") for port in self.metrics)

    def takes(self, body: bytes) -> bool:
        """Whether a body is answered with 200."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("POST", self.path, body, {"content-type": "application/json", **self.headers})
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def ask(self, connection: http.client.HTTPConnection, body: bytes) -> dict[str, object]:
        """The answer's document, by REST."""
        connection.request("POST", self.path, body, {"content-type": "application/json", **self.headers})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise AssertionError(f"{self.name} answers {answer.status}: {text[:300]!r}")
        # Triton puts the tensor's length and its own header before the answer; Envoy takes them off.
        return json.loads(text[text.index(b'{"request_id"') :])

    def stages(self) -> dict[str, float]:
        """CPU seconds by stage so far, where the server keeps account."""
        found: dict[str, float] = {}
        for port in self.metrics:
            for stage, value in re.findall(
                rf'^{FAMILY}(?:_total)?{{[^}}]*stage="(\w+)"[^}}]*}} (\S+)$', _page(port), re.M
            ):
                found[stage] = found.get(stage, 0.0) + float(value)
        return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes and all below them, those that have ended meanwhile included."""
    total = 0.0
    for pid in pids:
        parent = psutil.Process(pid)
        for one in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:4])  # user, system, and both of children that were waited for
    return total


def _counter(port: int, family: str) -> float:
    """A counter, its labels summed up."""
    found = re.findall(rf"^{family}(?:_total)?(?:{{[^}}]*}})? (\S+)$", _page(port), re.MULTILINE)
    return sum(float(value) for value in found)


def _page(port: int) -> str:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Site:
    """Starts servers on ports from ``base`` on, those of the stack and some beyond; all end with its context."""

    def __init__(self, folder: Path, base: int):
        self.folder, self.base = folder, base
        self._held = contextlib.ExitStack()
        self._next = base + 40
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def redis(self) -> int:
        """Its port."""
        port = ports(self.base)["redis"]
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True)
        for old in folder.glob("appendonly*"):
            old.unlink()

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError), redis.Redis(HOST, port) as client:
                return bool(client.ping())
            return False

        self._start("redis", redis_argv(port, folder), {}, answers)
        return port

    def triton(self, name: str, release: Path, store: int, native: bool, listen: Sequence[int] = ()) -> Server:
        """A tritonserver, by the C++ backend or by python steps."""
        web, grpc, metrics = listen or self._ports(3)
        launch = tritonserver.launch(
            release,
            self.folder / "backends",
            http=web,
            grpc=grpc,
            metrics=metrics,
            native=tritonserver.Native(address(store)) if native else None,
        )
        environment = {**launch.env, **_ONE_THREAD, "TRIREME_REDIS": address(store)}
        pid = self._start(name, launch.argv, environment, lambda: _is_ready(web, "/v2/health/ready"))
        return Server(name, (pid,), web, INFER_PATH, {"Inference-Header-Content-Length": "0"}, grpc, (metrics,))

    def envoy(self, name: str, release: Path, store: int) -> Server:
        """The stack's Envoy before two tritonservers with the C++ backend, as the stack has it."""
        port = ports(self.base)
        listen = [[port[f"triton_{which}_{kind}"] for kind in ("http", "grpc", "metrics")] for which in "ab"]
        behind = [self.triton(f"{name}_{i}", release, store, True, each) for i, each in enumerate(listen)]
        argv = envoy_argv(write_config(self.folder / "envoy", port))
        pid = self._start(name, argv, {}, lambda: _answers(port["public"]))
        pids, metrics = tuple(one.processes[0] for one in behind), tuple(one.metrics[0] for one in behind)
        return Server(name, pids, port["public"], metrics=metrics, door=(pid,))

    def peer(self, name: str, release: Path, store: int, workers: int) -> Server:
        """FastAPI."""
        (port,) = self._ports(1)
        argv = (*_peer("peer_app"), str(release), address(store), str(port), str(workers))
        pid = self._start(name, argv, _ONE_THREAD, lambda: _answers(port))
        return Server(name, (pid,), port)

    def peer_grpc(self, name: str, release: Path, store: int) -> Server:
        """grpc.aio."""
        (port,) = self._ports(1)
        argv = (*_peer("peer_grpc"), str(release), address(store), str(port))
        pid = self._start(name, argv, _ONE_THREAD, lambda: _is_open(port))
        return Server(name, (pid,), 0, grpc=port)

    def trivial(self) -> Server:
        """A server that does nothing."""
        (port,) = self._ports(1)
        argv = (sys.executable, "-m", "tests.benchmarks.serving.trivial", str(port))
        pid = self._start("trivial", argv, {}, lambda: _is_open(port))
        return Server("trivial", (pid,), port)

    def _ports(self, number: int) -> list[int]:
        self._next += number
        return list(range(self._next - number, self._next))

    def _start(self, name: str, argv: Sequence[str], env: Mapping[str, str], ready: Callable[[], bool]) -> int:
        log = self.folder / f"{name}.log"
        started = self._held.enter_context(process(argv, log, {**os.environ, **env}))

        def ready_or_dead() -> bool:
            return started.poll() is not None or ready()

        wait_until(ready_or_dead, name, log, _START_SECONDS)
        if started.poll() is not None:
            raise SystemExit(f"{name} ended at its start:\n{log.read_text(errors='replace')[-2000:]}")
        return started.pid


def _peer(module: str) -> tuple[str, ...]:
    if not PEER_PYTHON.exists():
        raise SystemExit(f"the peer's environment is not there ({PEER_PYTHON}): make bench-serving sets it up")
    return (str(PEER_PYTHON), "-m", f"tests.benchmarks.serving.{module}")


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("POST", ROUTE, b'{"user_id":"readiness","k":1}', {"content-type": "application/json"})
        return connection.getresponse().status == 200
    finally:
        connection.close()


def _is_open(port: int) -> bool:
    with socket.create_connection((HOST, port), timeout=1):
        return True
