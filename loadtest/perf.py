"""Throughput and latency by concurrency: perf_analyzer against one tritonserver, by gRPC, bounded in time.

Asked of the server itself and not through Envoy, for perf_analyzer wants the model's metadata and statistics, which the
public door does not give. Server and load generator share this machine's cores, so only ratios carry over to another.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from contracts import artifacts
from contracts.config import Config
from contracts.errors import StackError
from contracts.stack import StackSettings

ENVIRONMENT = Path(__file__).resolve().parent.parent / ".venv-load"
MODEL = "recommendations"
HOST = "127.0.0.1"
REQUESTS = 2_000
K = 20
#: A window of one measurement, ms, and how many windows at most; a noisy machine is no reason to go on for ever.
WINDOW_MS, MAX_TRIALS = 2_000, 4
TIMEOUT_SECONDS = 300
#: perf_analyzer fails without a CSV when windows differ by more per cent than this; noise is judged by the reader.
STABILITY_PERCENT = 999
_COLUMNS = {"p50_ms": "p50 latency", "p95_ms": "p95 latency", "p99_ms": "p99 latency"}


def measure(config: Config, settings: StackSettings, concurrencies: Sequence[int], seed: int = 20) -> dict[str, Any]:
    """Run perf_analyzer once a concurrency; its CSVs lie in ``<root>/<name>/loadtest``.

    Returns:
        ``results``, a list of ``concurrency``, ``per_second``, ``p50_ms``, ``p95_ms``, ``p99_ms``.

    Raises:
        StackError: when perf_analyzer is not there or fails.
    """
    zones = artifacts.zones(settings.root, config)
    folder = Path(zones.root) / "loadtest"
    folder.mkdir(parents=True, exist_ok=True)
    requests = folder / "requests.json"
    requests.write_text(json.dumps(request_data(_drawn(zones, seed))), encoding="utf-8")
    address = f"{HOST}:{settings.port('triton_a_grpc')}"
    tables = {concurrency: folder / f"concurrency-{concurrency}.csv" for concurrency in concurrencies}
    return {"results": [run(address, requests, table, concurrency) for concurrency, table in tables.items()]}


def request_data(users: Sequence[str], **wishes: int) -> dict[str, Any]:
    """perf_analyzer's input file: a request a user, with further typed tensors by name."""
    requests = [{"user_id": user, "k": K, **wishes} for user in users]
    return {"data": [{name: {"content": [value], "shape": [1]} for name, value in asked.items()} for asked in requests]}


def _drawn(zones: artifacts.Zones, seed: int) -> list[str]:
    """Users as often as they come: drawn from the log with their real frequency."""
    counts = pq.read_table(f"{zones.processed}/events", columns=["user_id"])["user_id"].value_counts()
    users, weights = counts.field("values").to_pylist(), counts.field("counts").to_pylist()
    return random.Random(seed).choices(users, weights, k=REQUESTS)


def run(
    address: str, requests: Path, table: Path, concurrency: int, window_ms: int = WINDOW_MS, trials: int = MAX_TRIALS
) -> dict[str, Any]:
    """Run perf_analyzer once; its CSV is ``table``.

    Args:
        address: ``host:port`` of a tritonserver's gRPC, or of whatever speaks KServe's protocol.
        requests: a file of ``request_data``.
        table: where the CSV is to lie.
        concurrency: requests under way at any time.
        window_ms: a measurement's length.
        trials: measurements at most; three that agree are enough.

    Returns:
        ``concurrency`` and what ``read_table`` gives.

    Raises:
        StackError: when perf_analyzer is not there or fails.
    """
    tool = ENVIRONMENT / "bin/perf_analyzer"
    table.unlink(missing_ok=True)
    libraries = next(ENVIRONMENT.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib"), None)
    if not tool.exists() or libraries is None:
        raise StackError(f"expected perf_analyzer in {tool}, but it is not there: make load sets it up")
    command = [
        str(tool), "-m", MODEL, "-u", address, "-i", "grpc", "--input-data", str(requests),
        "--concurrency-range", str(concurrency), "-p", str(window_ms), "-r", str(trials),
        "-s", str(STABILITY_PERCENT), "--percentile", "99", "-f", str(table),
    ]  # fmt: skip
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0 or not table.exists():
        said = (done.stderr or done.stdout).strip()
        hint = "apt-get install libb64-0d" if "libb64" in said else "is the stack up? make status"
        raise StackError(f"perf_analyzer failed with exit code {done.returncode}: {said[-600:]} ({hint})")
    return {"concurrency": concurrency, **read_table(table)}


def read_table(table: Path) -> dict[str, float]:
    """The figures of the one line of a perf_analyzer CSV; it gives latencies in microseconds."""
    with table.open(newline="", encoding="utf-8") as file:
        line = next(csv.DictReader(file))
    latencies = {ours: round(float(line[theirs]) / 1000, 2) for ours, theirs in _COLUMNS.items()}
    return {"per_second": round(float(line["Inferences/Second"]), 1), **latencies}
