"""A TCP proxy between the stack and its Redis that can hold back every answer."""

from __future__ import annotations

import asyncio
import threading

from deploy.ports import HOST


class SlowProxy:
    """Listens from its making to ``close``; ``delay_seconds`` may change while it runs."""

    def __init__(self, port: int, target: int):
        self.delay_seconds = 0.0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, HOST, port))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, and every connection."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(_copy(reader, behind[1], lambda: 0.0))
        back = asyncio.create_task(_copy(behind[0], writer, lambda: self.delay_seconds))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            for end in (writer, behind[1]):
                end.close()


async def _copy(reader, writer, delay) -> None:
    try:
        while data := await reader.read(65536):
            if delay():
                await asyncio.sleep(delay())
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
