"""``POST /v1/events``: one event or a list, checked against the contract and answered when the broker has it.

- 202 ``{"accepted": n}`` after the broker acknowledged all of them;
- 400 names the field, the reason code and the place in the list; the whole batch is refused and nothing was sent;
- 413 above 64 KiB or 500 events, 415 for anything but JSON;
- 503 with Retry-After when the broker does not acknowledge in time: send the same events again, under the same ids.

``event_id`` must come from the sender, because a repeated event is recognised by it; ``event_time`` defaults to now.
The rate limit is Envoy's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import uvicorn
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import EventError
from contracts.events import LIMITS, Event, validate
from streaming.codec import encode
from streaming.publisher import Publisher, Record, UnavailableError
from streaming.settings import StreamSettings

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
#: Requests that wait for the broker at the same time; the next one is refused rather than queued.
MAX_WAITING = 64
RETRY_AFTER_SECONDS = 1


class RefusedError(Exception):
    """A request that is answered with an error document."""

    def __init__(self, status: int, code: str, field: str, message: str, index: int = 0):
        self.status = status
        self.document = {"error": {"code": code, "field": field, "message": message, "index": index}}
        super().__init__(message)


class Collector:
    """The HTTP application's state: a publisher, threads to wait in, and figures."""

    def __init__(self, publisher: Publisher):
        self.publisher = publisher
        self.pool = ThreadPoolExecutor(MAX_WAITING, thread_name_prefix="publish")
        self.waiting = 0
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "trireme_collector_requests", "Requests by HTTP status.", ["status"], registry=self.registry
        )
        self.events = Counter("trireme_collector_events", "Events acknowledged by the broker.", registry=self.registry)
        self.refusals = Counter(
            "trireme_collector_refusals", "Refused requests by reason.", ["code"], registry=self.registry
        )
        self.seconds = Histogram(
            "trireme_collector_accept_seconds",
            "From the request's last byte to the broker's acknowledgement.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
            registry=self.registry,
        )

    async def accept(self, request: Request) -> Response:
        """``POST /v1/events``."""
        try:
            body = await _body(request)
            started = time.perf_counter()
            records = [_record(event) for event in parse(body, int(time.time() * 1000))]
            await self._publish(records)
            self.seconds.observe(time.perf_counter() - started)
        except RefusedError as refused:
            self.requests.labels(str(refused.status)).inc()
            self.refusals.labels(refused.document["error"]["code"]).inc()
            headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if refused.status == 503 else {}
            return _json(refused.document, refused.status, headers)
        self.requests.labels("202").inc()
        self.events.inc(len(records))
        return _json({"accepted": len(records)}, 202)

    async def _publish(self, records: list[Record]) -> None:
        if self.waiting >= MAX_WAITING:
            raise RefusedError(503, "busy", "", f"{MAX_WAITING} requests wait for the broker already; try again")
        self.waiting += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self.pool, self.publisher.publish, records)
        except UnavailableError as error:
            log.warning("refused %d events: %s", len(records), error)
            message = "the broker did not acknowledge in time; send the same events again, under the same ids"
            raise RefusedError(503, "broker_unavailable", "", message) from error
        finally:
            self.waiting -= 1

    async def health(self, request: Request) -> Response:
        """``GET /healthz``: 200 while the process answers; ``broker`` says whether events are acknowledged."""
        return _json({"status": "ok", "broker": "connected" if self.publisher.connected else "unreachable"}, 200)

    async def metrics(self, request: Request) -> Response:
        """``GET /metrics``, in Prometheus' text format."""
        return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})


def parse(body: bytes, now_ms: int) -> list[Event]:
    """The checked events of a request body.

    Raises:
        RefusedError: 400 or 413; nothing of a refused batch is sent.
    """
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "malformed_json", "body", f"expected JSON: {error}") from None
    batch = raw if isinstance(raw, list) else [raw]
    if not batch:
        raise RefusedError(400, "empty", "body", f"expected an event or a list of 1 to {LIMITS.max_events}, got none")
    if len(batch) > LIMITS.max_events:
        raise RefusedError(
            413,
            "too_many_events",
            "body",
            f"expected at most {LIMITS.max_events} events, got {len(batch)}: send them in parts",
        )
    events = []
    for index, item in enumerate(batch):
        try:
            events.append(validate(_timed(item, now_ms), now_ms))
        except EventError as error:
            message = f"{error}; the whole batch was refused and nothing was sent"
            raise RefusedError(400, error.code, error.field, message, index) from None
    return events


def application(publisher: Publisher) -> Starlette:
    """The ASGI application; it reaches for the broker at its start, but starts without it."""
    collector = Collector(publisher)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(UnavailableError):  # the first event is refused then, and tries again
            await loop.run_in_executor(collector.pool, publisher.connect, time.monotonic() + 2)
        yield
        await loop.run_in_executor(collector.pool, publisher.close)
        collector.pool.shutdown()

    return Starlette(
        routes=[
            Route("/v1/events", collector.accept, methods=["POST"]),
            Route("/healthz", collector.health),
            Route("/metrics", collector.metrics),
        ],
        lifespan=lifespan,
    )


def serve(settings: StreamSettings, ack_seconds: float) -> None:
    """Serve until SIGTERM; requests that run are answered first."""
    config = uvicorn.Config(
        application(Publisher(settings, ack_seconds)),
        host="127.0.0.1",
        port=settings.collector_port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
    signal.signal(
        signal.SIGTERM, lambda *_: None
    )  # uvicorn raises it again when it is done: an ordered end is no crash
    uvicorn.Server(config).run()


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "unsupported_media_type", "content-type", f"expected application/json, got {kind!r}")
    too_large = RefusedError(413, "too_large", "body", f"expected at most {MAX_BODY_BYTES} bytes: send it in parts")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise too_large
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise too_large
            parts.append(part)
    except ClientDisconnect:
        raise RefusedError(400, "disconnected", "body", "the sender went away before the body's end") from None
    return b"".join(parts)


def _timed(item: Any, now_ms: int) -> Any:
    """The event with its time: a sender without a clock means now."""
    if isinstance(item, Mapping) and item.get("event_time") is None:
        return {**item, "event_time": now_ms}
    return item


def _record(event: Event) -> Record:
    return Record((event.user_id or event.item_id or event.event_id).encode(), encode(event))


def _json(document: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(document), status, {"content-type": "application/json", **(headers or {})})
