"""Processes of tests: started with a log, ended by their own pid whatever happens, and free ports for them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil


@contextlib.contextmanager
def process(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen]:
    with log.open("wb") as output:
        started = subprocess.Popen(argv, env=env, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    try:
        yield started
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(started.pid).children(recursive=True)
        started.terminate()
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        # A tritonserver that is ended while it loads may leave stubs that wait for it for good.
        for child in psutil.wait_procs(children, timeout=2)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def wait_until(ready: Callable[[], bool], what: str, log: Path, seconds: float = 30.0) -> None:
    """Poll ``ready``; an OSError of it (nobody listens yet) counts as not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise AssertionError(f"{what} was not ready after {seconds} s; the end of {log}:\n{tail}")


def free_port_base(count: int = 40) -> int:
    """A base below the ephemeral range from which ``count`` ports are free now.

    Two test runs at once look from different ports on.
    """
    bases = range(21000, 32000, count)
    first = os.getpid() % len(bases)
    for base in (*bases[first:], *bases[:first]):
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no 40 free ports in a row")
