"""Where tasks run: a scheduler that the environment names, the GPUs of this machine, or its CPU cores."""

# pyright: reportMissingImports=false
# (Dask lives in the train environment, pyright in the other)

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from distributed import Client, LocalCluster
from distributed.diagnostics import nvml

#: Below this many rows, starting worker processes (3 s) costs more than threads lose to the interpreter's lock.
ROWS_FOR_PROCESSES = 200_000
MAX_WORKERS = 8


class Kind(str, Enum):
    """What runs the tasks."""

    SCHEDULER = "scheduler"
    CUDA = "cuda"
    PROCESSES = "processes"
    THREADS = "threads"


def choose(scheduler: str, gpus: int, rows: int) -> Kind:
    """A named scheduler first, then GPUs, then the cores of this machine.

    Example:
        >>> choose("", gpus=0, rows=40_000).value
        'threads'
    """
    if scheduler:
        return Kind.SCHEDULER
    if gpus:
        return Kind.CUDA
    return Kind.PROCESSES if rows >= ROWS_FOR_PROCESSES else Kind.THREADS


def gpu_count(installed: int | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """GPUs that this process may use: what NVML counts, less what CUDA_VISIBLE_DEVICES hides.

    Asked of NVML, for ``LocalCUDACluster()`` raises where there is no driver.
    """
    installed = nvml.device_get_count() if installed is None else installed
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return installed if visible is None else min(installed, len([device for device in visible.split(",") if device]))


class Session:
    """A connected cluster, and how long it took to start."""

    def __init__(self, client: Client, start_seconds: float):
        self.client = client
        self.start_seconds = start_seconds

    def map(self, label: str, function: Callable[..., Any], *iterables: Any, **options: Any) -> list[Any]:
        """Run ``function`` over the iterables; results in their order."""
        tasks: Any = self.client.map(function, *iterables, pure=False, **options)
        results: Any = self.client.gather(tasks)
        return results

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one task beside others; its future."""
        return self.client.submit(function, *arguments, pure=False)


@contextlib.contextmanager
def connect(scheduler: str, rows: int, log: Callable[[str], None] = lambda line: None) -> Iterator[Session]:
    """A session of the chosen cluster; a cluster started here ends with the block."""
    kind = choose(scheduler, gpu_count(), rows)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        cluster: Any = scheduler if kind is Kind.SCHEDULER else stack.enter_context(_start(kind))
        client = stack.enter_context(Client(cluster, timeout="60s"))
        yield Session(client, time.monotonic() - started)


def _start(kind: Kind) -> Any:
    loopback = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    options: dict[str, Any] = {**loopback, "silence_logs": logging.ERROR}
    if kind is Kind.THREADS:
        return LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **options)
    # Merlin imports TensorFlow where it finds it (33-55 s a worker); the preload hides it from the workers.
    options.update(host="127.0.0.1", preload=["etl.lean"])
    if kind is Kind.CUDA:
        from dask_cuda import LocalCUDACluster

        return LocalCUDACluster(**options)
    return LocalCluster(n_workers=min(os.cpu_count() or 1, MAX_WORKERS), threads_per_worker=1, **options)
