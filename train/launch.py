"""Starts the ranks of one machine and ends with them: what ``horovodrun`` does, on 127.0.0.1 only and without a shell.

Over several machines, with a root that all can read: ``horovodrun -np 8 -H a:4,b:4 python -m train run CONFIG``.
"""

# pyright: reportMissingImports=false
# (Horovod is there only where `make horovod` built it)

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from contracts.errors import TrainError

#: How often ranks are looked at, and how long one may take to end when asked to.
_LOOK_SECONDS, _GRACE_SECONDS = 0.2, 10.0


def ranks(number: int, arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Run ``python ARGUMENTS`` as so many ranks; what rank 0 wrote to standard output.

    When one fails, or this process is told to stop, all are ended: the others would wait for it for ever.

    Raises:
        TrainError: when Horovod is not there, or a rank failed.
    """
    if importlib.util.find_spec("horovod") is None:
        raise TrainError(f"--ranks {number} needs Horovod, which is not built here: run `make horovod`")
    with _rendezvous(number) as each, tempfile.TemporaryFile("w+") as said, _ended() as started:
        for rank, variables in enumerate(each):
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if rank else said,
            )
            started.append(process)
        while (codes := [process.poll() for process in started]) and None in codes and not any(codes):
            time.sleep(_LOOK_SECONDS)
        for rank, code in enumerate(codes):
            if code:
                raise TrainError(f"rank {rank} of {number} ended with exit code {code}; what it said stands above")
        said.seek(0)
        return said.read()


@contextlib.contextmanager
def _rendezvous(number: int) -> Iterator[list[dict[str, str]]]:
    """Where the ranks find each other; the variables by which each knows the place and its number."""
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.gloo_run import create_run_env_vars, create_slot_env_vars
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    slots = get_host_assignments(parse_hosts(f"localhost:{number}"), number)
    # Horovod's own RendezvousServer would listen on every interface.
    server = RendezvousHTTPServer(("127.0.0.1", 0), RendezvousHandler, 0)
    server.init(slots)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shared = create_run_env_vars("127.0.0.1", ["lo"], server.server_port)
    try:
        yield [{name: str(value) for name, value in {**shared, **create_slot_env_vars(slot)}.items()} for slot in slots]
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def _ended() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended with the block, also by SIGTERM."""
    started: list[subprocess.Popen[bytes]] = []

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield started
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in started:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in started:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
