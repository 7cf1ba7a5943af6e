"""Dask workers that train: processes of this machine, or those of ``TRIREME_DASK_SCHEDULER``."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from distributed import Client, LocalCluster

from contracts.errors import StackError
from contracts.stack import stack_settings

#: Seconds within which a scheduler that was named must answer.
_PATIENCE = "20s"


@contextlib.contextmanager
def connect(workers: int) -> Iterator[Client]:
    """A client of workers that take one training at a time; those that are started here share the cores.

    Args:
        workers: how many to start, where no scheduler is named.

    Raises:
        StackError: when the scheduler that is named does not answer.
    """
    with contextlib.ExitStack() as stack:
        scheduler = stack_settings().dask_scheduler
        where = scheduler or stack.enter_context(_cluster(workers, stack.enter_context(TemporaryDirectory())))
        try:
            client = stack.enter_context(Client(where, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise StackError(
                f"Dask: no scheduler answers at {scheduler!r} ({error}); correct TRIREME_DASK_SCHEDULER or start it"
            ) from None
        yield client


def _cluster(workers: int, folder: str) -> LocalCluster:
    # The second tells to install what nothing here needs, and is there only after the first cluster's start.
    for name in (*logging.root.manager.loggerDict, "distributed.http.proxy"):
        if name.startswith("distributed."):  # each has a level of its own, and tells of every connection
            # What a task raises comes back with its future; a worker that is slow to end is no error of the user's.
            logging.getLogger(name).setLevel(logging.CRITICAL)
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",  # without it a worker serves its figures to everybody
        local_directory=folder,
        memory_limit=0,  # TensorFlow's memory is not Dask's to count
        silence_logs=logging.ERROR,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **dict.fromkeys(names, threads)},
    )


@contextlib.contextmanager
def written_to(log: str) -> Iterator[None]:
    """What a task says on standard error (bars, epochs, warnings) goes to a file: several at once would be a jumble."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file, contextlib.redirect_stderr(file):
        handler = logging.StreamHandler(file)
        ours = logging.getLogger("train")
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
        try:
            yield
        finally:
            ours.removeHandler(handler)
            sys.stderr.flush()
