"""What a part holds counts with its children, and memory that is shared counts once."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from deploy.memory import MIB, by_part, peak
from deploy.stack import PartStatus

_HOLDER = """
import os, sys, time
held = bytearray(b"x" * (64 << 20))
child = os.fork()
print(os.getpid(), flush=True) if child else None
time.sleep(60)
"""


def test_children_count_with_their_part_and_shared_pages_once() -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            part = PartStatus("one", "RUNNING", (), holder.pid, None)
            # Parts that are started while somebody looks.
            looks = iter([[PartStatus("one", "STOPPED", (), None, None)]])
            found = peak(lambda: next(looks, [part]), 0.2, every=0.05)
            assert set(found) == {"one"} and 64 * MIB < found["one"] < 110 * MIB, found
        finally:
            for process in (*psutil.Process(holder.pid).children(), holder):
                process.kill()
    time.sleep(0.05)
    assert by_part([part]) in ({}, {"one": 0}), "a process that ended holds nothing"
