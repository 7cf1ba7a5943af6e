"""One tool, run in a process of its own: how long it took, and the most memory that any process of its tree held.

Processor time is noted as well, for on a shared machine wall time is the neighbours' too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

#: The kernel keeps each process's own peak, so a look need only fall into its life.
LOOK_SECONDS = 0.05
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one run took.

    Attributes:
        seconds: wall time of the process, the start of its cluster or session excepted.
        start_seconds: that start, as the tool itself measured it; 0 where it has none.
        cpu_seconds: processor time of its whole tree, the start included.
        peak_rss_mib: most resident memory of any one process of its tree, MiB.
        figures: the JSON object of its last line.
    """

    seconds: float
    start_seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    figures: dict[str, Any]


class Seen(NamedTuple):
    """A process's peak of resident memory, KiB, and its processor time."""

    peak_kib: int
    cpu_seconds: float


class ToolError(Exception):
    """A tool ended with an error; the text ends with what it said last."""


def run(argv: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> Measured:
    """Run a command whose last line on standard output is a JSON object; standard error goes to ``log``.

    ``cluster_seconds`` of that object is what the command says the start of its cluster took.

    Raises:
        ToolError: when it fails.
    """
    seen: dict[int, Seen] = {}
    os.sync()  # what the tool before wrote is its own affair
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    pipes = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    with log.open("wb") as errors, subprocess.Popen(argv, cwd=cwd, env=env, stderr=errors, **pipes) as child:
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(child.pid, seen, done))
        watcher.start()
        try:
            said = child.communicate()[0]
        finally:
            done.set()
            watcher.join()
            _end(child)
    seconds = time.monotonic() - started
    if child.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise ToolError(f"{' '.join(argv)} ended with exit code {child.returncode}; the end of {log}:\n{tail}")
    figures = json.loads(said.splitlines()[-1])
    start = float(figures.get("cluster_seconds", 0.0))
    return Measured(
        seconds=seconds - start,
        start_seconds=start,
        cpu_seconds=sum(process.cpu_seconds for process in seen.values()),
        peak_rss_mib=max((process.peak_kib for process in seen.values()), default=0) / 1024,
        figures=figures,
    )


def _watch(pid: int, seen: dict[int, Seen], done: threading.Event) -> None:
    """Look at every process of the tree until told that all is done; both figures only rise while a process lives."""
    while not done.wait(LOOK_SECONDS):
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error, OSError):  # it has just ended
                    seen[process.pid] = _look(process)


def _look(process: psutil.Process) -> Seen:
    found = _PEAK.search(Path(f"/proc/{process.pid}/status").read_text())
    if not found:  # ended, and not yet waited for
        raise psutil.ZombieProcess(process.pid)
    times = process.cpu_times()
    return Seen(int(found.group(1)), times.user + times.system)


def _end(child: subprocess.Popen[str]) -> None:
    """End the child and what it started, should something have stopped the wait for it."""
    if child.poll() is not None:
        return
    with contextlib.suppress(psutil.Error):
        for process in (*psutil.Process(child.pid).children(recursive=True), child):
            process.kill()
    child.wait()
