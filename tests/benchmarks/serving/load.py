"""One cell: a server under so many clients for some seconds, by REST (wrk) or by gRPC (perf_analyzer).

Both generators run on the server's cores, as the issue of it demands, and both are written in C or C++; what they
cost themselves is told beside every figure.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path

from contracts.errors import StackError
from loadtest import perf
from tests.benchmarks.serving.servers import HOST, Server

_SCRIPT = Path(__file__).with_name("rest.lua")
WARM_UP_SECONDS = 1
#: A server that takes no more than two ticks of the kernel's clock in so long is idle.
_IDLE_SECONDS, _IDLE_WITHIN_SECONDS = 0.15, 15.0


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one cell gave; a line of ``cells.csv``.

    Attributes:
        cpu_ms: user and system time of the server an answer, without Redis and Envoy.
        door_ms: the same of Envoy; 0 where there is none.
        client_ms: the same of the load generator.
        failed: answers that were none (not 200, or cut off).
        skipped: answers that a stage had no part in.
    """

    items: int
    server: str
    protocol: str
    concurrency: int
    batch: int
    round: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    door_ms: float
    client_ms: float
    failed: int
    skipped: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Where requests lie and how long a cell takes."""

    folder: Path
    kept: Path
    seconds: float
    batch: int


def wrk() -> str:
    """The program.

    Raises:
        SystemExit: when it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("the load generator of REST is not there: apt-get install wrk")
    return found


def rest(plan: Plan, server: Server, items: int, concurrency: int, number: int, batch: int = 1) -> Cell:
    """A REST cell: a second of warm-up, then ``plan.seconds``; of a batch, users are counted."""
    bodies = plan.folder / ("single.jsonl" if batch == 1 else "batch.jsonl")
    _wrk(server, bodies, concurrency, WARM_UP_SECONDS)
    _until_idle(server)
    before, skipped, own = server.cpu_seconds(), server.skipped(), _children()
    told = _wrk(server, bodies, concurrency, plan.seconds)
    used, door = (after - held for after, held in zip(server.cpu_seconds(), before))
    users = max(told["requests"], 1) * batch
    client, missed = _children() - own, server.skipped() - skipped
    _until_idle(server)
    return Cell(
        items, server.name, "rest", concurrency, batch, number,
        round(told["requests"] * batch / told["seconds"], 1), told["p50_ms"], told["p99_ms"],
        *(round(1000 * spent / users, 3) for spent in (used, door, client)),
        told["failed"], round(missed),
    )  # fmt: skip


def grpc(plan: Plan, server: Server, items: int, concurrency: int, number: int) -> Cell:
    """A gRPC cell; perf_analyzer's own CSV is kept. A peer is not asked what it has answered: its cost is not told."""
    table = plan.kept / f"{server.name}-{items}-c{concurrency}-round{number}.csv"
    before, answered, skipped, own = server.cpu_seconds(), server.answered(), server.skipped(), _children()
    found = perf.run(
        f"{HOST}:{server.grpc}", plan.folder / "grpc.json", table, concurrency, window_ms=round(plan.seconds * 500)
    )
    answers = server.answered() - answered
    used, door = (after - held for after, held in zip(server.cpu_seconds(), before))
    spent = (used, door, _children() - own) if answers else (0.0, 0.0, 0.0)
    return Cell(
        items, server.name, "grpc", concurrency, 1, number,
        found["per_second"], found["p50_ms"], found["p99_ms"],
        *(round(1000 * each / max(answers, 1), 3) for each in spent),
        0, round(server.skipped() - skipped),
    )  # fmt: skip


def _wrk(server: Server, bodies: Path, concurrency: int, seconds: float) -> dict[str, float]:
    headers = [text for pair in server.headers.items() for text in pair]
    command = [
        wrk(), "-t1", f"-c{concurrency}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
        "-s", str(_SCRIPT), server.url, "--", str(bodies), *headers,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise StackError(f"wrk failed with exit code {done.returncode}: {(done.stderr or done.stdout)[-600:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _until_idle(server: Server) -> None:
    """Wait until the server is idle: a generator hangs up on requests that are under way, and they are answered still.

    What would be left of a slow server's in the next cell is more than of a fast one's.
    """
    end = time.monotonic() + _IDLE_WITHIN_SECONDS
    while time.monotonic() < end:
        before = sum(server.cpu_seconds())
        time.sleep(_IDLE_SECONDS)
        if sum(server.cpu_seconds()) - before <= 2 / os.sysconf("SC_CLK_TCK"):
            return


def _children() -> float:
    """User and system time of ended children: the generators, of which each is waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
