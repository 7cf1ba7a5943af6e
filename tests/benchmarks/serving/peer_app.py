"""The peer as a service: FastAPI on uvicorn (uvloop, httptools), orjson, hiredis (environment: .venv-peer).

``python -m tests.benchmarks.serving.peer_app RELEASE REDIS PORT WORKERS``. One round trip to Redis, one HMGET, on a
blocking connection: it takes a tenth of a millisecond, less than an event loop takes to come back to a request, and
measured faster here than ``redis.asyncio``. Requests are checked by the contract itself, whose checks on a decoded
object are cheaper than FastAPI's way to a pydantic model; the body is read and written by orjson.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Any

import orjson
import redis
import uvicorn
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from contracts.errors import RequestError
from contracts.features import feature_views
from contracts.online_layout import PROJECT, decode, fields, row_key
from contracts.requests import check_request
from ensemble.steps.release import Release
from tests.benchmarks.serving.peer_engine import Engine

_RELEASE, _REDIS = "BENCH_PEER_RELEASE", "BENCH_PEER_REDIS"


class Service:
    """Engine and store of one worker."""

    def __init__(self, release: str, store: str):
        opened = Release.open(release)
        self._engine = Engine(opened)
        host, _, port = store.rpartition(":")
        self._redis = redis.Redis(host, int(port), socket_timeout=0.1)
        self._views = feature_views(opened.features)
        self._fields = [fields(view) for view in self._views]
        self._wanted = [name for names in self._fields for name in names]

    def answer(self, raw: object) -> dict[str, Any]:
        """The answer to a decoded request, as of now."""
        request = check_request(raw)
        values: Any = self._redis.hmget(row_key(PROJECT, "user_id", request.user_id), self._wanted)
        row: dict[str, Any] = {}
        start = 0
        for view, names in zip(self._views, self._fields):
            row |= decode(view, values[start : start + len(names)])
            start += len(names)
        return self._engine.answer(request, row, time.time_ns() // 1_000_000)


def create() -> FastAPI:
    """The application of one worker; where its files lie, the environment says."""
    service = Service(os.environ[_RELEASE], os.environ[_REDIS])
    # Vocabularies are a hundred thousand objects that live for ever: the collector need not look at them again.
    gc.collect()
    gc.freeze()
    app = FastAPI(openapi_url=None)

    @app.post("/v1/recommendations")
    async def recommendations(request: HttpRequest) -> Response:
        try:
            answer = service.answer(orjson.loads(await request.body()))
        except (RequestError, orjson.JSONDecodeError) as error:
            return Response(orjson.dumps({"error": str(error)}), 400, media_type="application/json")
        return Response(orjson.dumps(answer), media_type="application/json")

    return app


def main(release: str, store: str, port: str, workers: str) -> None:
    os.environ |= {_RELEASE: release, _REDIS: store}
    uvicorn.run(
        f"{__spec__.name}:create",
        factory=True,
        host="127.0.0.1",
        port=int(port),
        workers=int(workers),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
