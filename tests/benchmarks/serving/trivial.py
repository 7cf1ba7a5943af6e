"""A server that does nothing: what the REST generator can ask at most (environment: serve).

``python -m tests.benchmarks.serving.trivial PORT``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n" + b'{"request_id":"0"}\n'


class Trivial(asyncio.Protocol):
    """One answer for whatever arrives; requests are small and come whole."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1])))
