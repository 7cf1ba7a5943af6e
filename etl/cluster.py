"""Where tasks run: a scheduler that the environment names, the GPUs of this machine, or its CPU cores."""

# pyright: reportMissingImports=false
# (Dask lives in the train environment, pyright in the other)

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from distributed import Client, LocalCluster

SCHEDULER = "TRIREME_DASK_SCHEDULER"
#: Below this many rows, starting worker processes (3 s) costs more than threads lose to the interpreter's lock.
ROWS_FOR_PROCESSES = 200_000


def choose(environ: Mapping[str, str], gpus: int, rows: int) -> tuple[str, str]:
    """``("address", a)``, ``("cuda", "")``, ``("processes", "")`` or ``("threads", "")``.

    Example:
        >>> choose({"TRIREME_DASK_SCHEDULER": "tcp://10.0.0.1:8786"}, 0, 10)
        ('address', 'tcp://10.0.0.1:8786')
    """
    if environ.get(SCHEDULER):
        return "address", environ[SCHEDULER]
    if gpus:
        return "cuda", ""
    return ("processes" if rows >= ROWS_FOR_PROCESSES else "threads"), ""


def gpu_count(environ: Mapping[str, str] = os.environ) -> int:
    """GPUs that this process may use: what NVML counts, less what CUDA_VISIBLE_DEVICES hides.

    Asked of NVML rather than by importing dask_cuda, whose LocalCUDACluster raises where there is no driver.
    """
    from distributed.diagnostics import nvml

    count = nvml.device_get_count()
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return count if visible is None else min(count, len([x for x in visible.split(",") if x]))


@contextlib.contextmanager
def connect(rows: int) -> Iterator[Client]:
    """A client of the chosen cluster; a cluster started here ends with the block."""
    kind, address = choose(os.environ, gpu_count(), rows)
    with contextlib.ExitStack() as stack:
        cluster: Any = address if kind == "address" else stack.enter_context(_start(kind))
        yield stack.enter_context(Client(cluster, set_as_default=True, timeout="60s"))


def _start(kind: str) -> Any:
    options: dict[str, Any] = {"dashboard_address": None, "silence_logs": logging.ERROR}
    if kind == "threads":
        return LocalCluster(n_workers=1, threads_per_worker=2, processes=False, **options)
    # Merlin imports TensorFlow where it finds it (33-55 s a worker); the preload hides it from the workers.
    options.update(host="127.0.0.1", preload=["etl.lean"])
    if kind == "cuda":
        from dask_cuda import LocalCUDACluster

        return LocalCUDACluster(**options)
    return LocalCluster(n_workers=min(os.cpu_count() or 1, 8), threads_per_worker=1, **options)
