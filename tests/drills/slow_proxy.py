"""A TCP proxy between the stack and its Redis that can hold back every answer: a process of its own.

``python -m tests.drills.slow_proxy PORT TARGET FILE``: the file says for how many seconds; empty, for none.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.ports import HOST
from deploy.readiness import log_tail
from tests.running import process, wait_until


class SlowProxy:
    """A running proxy, by the file that it reads."""

    def __init__(self, file: Path):
        self._file = file

    def delay(self, seconds: float) -> None:
        """Hold answers back from now on; 0: no more."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(str(seconds or ""))
        partial.replace(self._file)


@contextlib.contextmanager
def slow_proxy(port: int, target: int, folder: Path) -> Iterator[SlowProxy]:
    """A proxy that listens, ended with the block."""
    file, log = folder / "delay", folder / "proxy.log"
    made = SlowProxy(file)
    made.delay(0)
    with process((sys.executable, "-m", __name__, str(port), str(target), str(file)), log) as started:
        wait_until(lambda: _listens(started, log), "the proxy", log)
        yield made


def _listens(started: subprocess.Popen, log: Path) -> bool:
    if started.poll() is not None:
        raise AssertionError(f"the proxy ended: {log_tail(log)}")
    return "listens" in log.read_text()


async def _serve(port: int, target: int, file: Path) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind = await asyncio.open_connection(HOST, target)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(_copy(reader, behind[1], None))
        back = asyncio.create_task(_copy(behind[0], writer, file))
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        for end in (writer, behind[1]):
            end.close()

    server = await asyncio.start_server(accept, HOST, port)
    sys.stdout.write("listens\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delayed_by: Path | None) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            if delayed_by and (text := delayed_by.read_text()):
                await asyncio.sleep(float(text))
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
