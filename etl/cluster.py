"""Where tasks run: a scheduler that the environment names, the GPUs of this machine, or its CPU cores; and waiting.

A cluster of this machine spills to disk before it runs out of memory, starts a worker again that was killed, and gives
its task to another one. A scheduler that is named has its own configuration.
"""

# pyright: reportMissingImports=false
# (Dask lives in the train environment, pyright in the other)

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import dask.config
from distributed import Client, LocalCluster, as_completed
from distributed.diagnostics import nvml
from distributed.scheduler import KilledWorker
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contracts.errors import StackError

#: Below this many rows, starting worker processes (3 s) costs more than threads lose to the interpreter's lock.
ROWS_FOR_PROCESSES = 200_000
MAX_WORKERS = 8
#: Of the machine's memory (or of what its container may have), all workers together.
MEMORY_SHARE = 0.8
#: Of a GPU's memory: what its pool takes at the start, and from where on results move to the host.
GPU_POOL_SHARE, GPU_SPILL_SHARE = 0.7, 0.5
SETTINGS = {
    # Shares of a worker's memory: results go to disk, so does what else can, no new task begins, it is ended.
    "distributed.worker.memory.target": 0.6,
    "distributed.worker.memory.spill": 0.7,
    "distributed.worker.memory.pause": 0.8,
    "distributed.worker.memory.terminate": 0.95,
    # Tasks wait at the scheduler, not at a worker: a worker's death is blamed on the task that it ran, on no other.
    "distributed.scheduler.worker-saturation": 1.0,
    # Deaths of a worker after which the task that it ran is at fault.
    "distributed.scheduler.allowed-failures": 3,
    # Dask makes workers give freed memory back at once, and every array of a task is then paged in anew. What a worker
    # keeps instead is bounded by its largest task.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 1 << 28,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 1 << 28,
    "distributed.dashboard.link": "http://127.0.0.1:{port}/status",
}
#: How long a scheduler that is named may take to answer.
PATIENCE = "60s"
#: Seconds between lines where there is no terminal to draw a bar on.
QUIET_SECONDS = 15.0


class Session(Client):
    """A client of a running cluster."""

    #: From nothing to workers that take tasks.
    start_seconds: float = 0.0
    #: Where progress goes.
    console: Console = Console(stderr=True)

    def each(self, label: str, function: Callable[..., Any], *iterables: Iterable[Any], **options: Any) -> list[Any]:
        """Run ``function`` over the iterables, a task each, under a progress bar; results in their order."""
        tasks: Any = self.map(function, *map(list, iterables), pure=False, **options)
        return results(self, tasks, label, self.console)

    def beside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one task beside what follows; its future."""
        return self.submit(function, *arguments, pure=False)


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


@contextlib.contextmanager
def connect(scheduler: str, rows: int, root: str = "") -> Iterator[Session]:
    """A client of the chosen cluster; a cluster started here ends with the block, and so does what it spilled.

    Args:
        scheduler: its address, or "" for a cluster of this machine.
        rows: how many there are to work on.
        root: the data's root; where it is a local folder, spilled results lie in it, else where temporary files do.

    Raises:
        StackError: when the scheduler does not answer.
    """
    kind, started = choose(scheduler, gpu_count(), rows), time.monotonic()
    with contextlib.ExitStack() as stack:
        cluster: Any = scheduler
        if kind is not Kind.SCHEDULER:
            stack.enter_context(dask.config.set(SETTINGS))
            spilled = stack.enter_context(_scratch(root))
            cluster = stack.enter_context(_start(kind, spilled))
        try:
            session = stack.enter_context(Session(cluster, timeout=PATIENCE))
        except (OSError, ValueError) as error:
            raise StackError(
                f"Dask: no scheduler answers at {scheduler!r} ({error}); correct TRIREME_DASK_SCHEDULER or start it"
            ) from None
        session.start_seconds = time.monotonic() - started
        yield session


def results(client: Client, futures: Sequence[Any], label: str, console: Console) -> list[Any]:
    """Wait for tasks under a progress bar; their results, in the order of ``futures``, which are released.

    Where the console is no terminal, a line every ``QUIET_SECONDS`` says how far it is. The first task that fails ends
    the others, and its error is raised as it is.

    Raises:
        StackError: when workers keep dying of a task.
    """
    places: dict[str, list[int]] = {}
    for place, future in enumerate(futures):
        places.setdefault(future.key, []).append(place)
    out: list[Any] = [None] * len(futures)
    waiting: Any = as_completed(list({future.key: future for future in futures}.values()))
    try:
        with _bar(label, len(futures), console) as advance:
            for batch in map(list, waiting.batches()):
                gathered: Any = client.gather(batch)
                for future, result in zip(batch, gathered):
                    for place in places[future.key]:
                        out[place] = result
                        futures[place].release()
                    advance(len(places[future.key]))
    except BaseException as error:
        client.cancel([future for future in futures if not future.cancelled()])
        if not isinstance(error, KilledWorker):
            raise
        raise StackError(
            f"{label}: {SETTINGS['distributed.scheduler.allowed-failures'] + 1} workers died of the same task, most "
            "likely for want of memory; give the machine more of it, or the task fewer rows"
        ) from None
    return out


@contextlib.contextmanager
def _bar(label: str, total: int, console: Console) -> Iterator[Any]:
    """Yields a function that is told how many tasks ended."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda more: bar.advance(task, more)
        return
    done, told = 0, time.monotonic()

    def advance(more: int) -> None:
        nonlocal done, told
        done += more
        if done < total and time.monotonic() - told >= QUIET_SECONDS:
            told = time.monotonic()
            console.print(f"{label}: {done} of {total}", markup=False, highlight=False)

    yield advance


@contextlib.contextmanager
def _scratch(root: str) -> Iterator[str]:
    """A folder for what workers spill, taken away at the end."""
    home = Path(root) if root and "://" not in root else None
    if home:
        home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spilled-", dir=home, ignore_cleanup_errors=True) as folder:
        yield folder


def _start(kind: Kind, folder: str) -> Any:
    workers = {Kind.THREADS: 1, Kind.PROCESSES: min(os.cpu_count() or 1, MAX_WORKERS), Kind.CUDA: gpu_count()}[kind]
    options: dict[str, Any] = {
        "n_workers": workers,
        "dashboard_address": "127.0.0.1:0",
        "worker_dashboard_address": "127.0.0.1:0",  # without it a worker serves its figures to everybody
        "local_directory": folder,
        "memory_limit": MEMORY_SHARE / workers,
        "silence_logs": logging.ERROR,
    }
    if kind is Kind.THREADS:
        return LocalCluster(threads_per_worker=2, processes=False, **options)
    # Merlin imports TensorFlow where it finds it (33-55 s a worker); the preload hides it from the workers.
    options.update(host="127.0.0.1", preload=["etl.lean"])
    if kind is Kind.CUDA:
        from dask_cuda import LocalCUDACluster

        return LocalCUDACluster(rmm_pool_size=GPU_POOL_SHARE, device_memory_limit=GPU_SPILL_SHARE, **options)
    return LocalCluster(threads_per_worker=1, **options)
