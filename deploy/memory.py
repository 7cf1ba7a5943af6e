"""What the stack holds in memory: the proportional set size (PSS) of its processes, by part.

PSS counts a page that several processes share by their shares, so that parts may be added up. It is read from
``/proc/PID/smaps_rollup``; a part's children (Triton's stubs, Redis' rewriting copy) are its own. A look at a stack of
1.3 GiB costs 40 ms of processor time, for the kernel walks its pages: twice a second, 8 % of a core.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping

import psutil
from rich.table import Table

from deploy.stack import PartStatus

MIB = 1 << 20


def by_part(parts: Iterable[PartStatus]) -> dict[str, int]:
    """PSS of the parts that run, bytes; a process that ends meanwhile counts nothing."""
    found = {}
    for part in parts:
        if part.pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(part.pid)
                found[part.name] = sum(map(_pss, [root, *root.children(recursive=True)]))
    return found


def peak(parts: Callable[[], Iterable[PartStatus]], seconds: float, every: float = 0.5) -> dict[str, int]:
    """The figures of the moment, within a while, at which they were most in all.

    Args:
        parts: asked at every look, for parts start, end and are started again meanwhile.
        seconds: how long to look; 0 is once.
        every: seconds between two looks.
    """
    end, most = time.monotonic() + seconds, by_part(parts())
    while time.monotonic() < end:
        time.sleep(every)
        most = max(most, by_part(parts()), key=lambda each: sum(each.values()))
    return most


def table(held: Mapping[str, int]) -> Table:
    """What a person sees of it."""
    shown = Table()
    shown.add_column("part")
    shown.add_column("PSS MiB", justify="right")
    for name, size in (*held.items(), ("all", sum(held.values()))):
        shown.add_row(name, f"{size / MIB:.0f}")
    return shown


def _pss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return process.memory_full_info().pss
    return 0
