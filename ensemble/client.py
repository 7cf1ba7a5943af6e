"""A client of the public REST interface, for applications: typed, over kept connections, sync and async.

    with Client("http://127.0.0.1:20000") as client:
        answer = client.recommend(Request("1228", k=10, session_id="visit-7"))

A call has one deadline, its request's ``deadline_ms``: at each try servers are told what is left of it. All calls may
be repeated (asking changes nothing, and of events with the same id the second is dropped), so what passes by itself is
tried again: no connection, one that was lost, 429, 503 and 504. Nothing else is.

It needs ``contracts`` and httpx, nothing of the other stages.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from contracts.errors import ClientError, RequestError
from contracts.requests import (
    DEFAULT_DEADLINE_MS,
    Answer,
    Request,
    SimilarAnswer,
    SimilarRequest,
    check_request,
    check_similar,
)

_AGAIN = {429, 503, 504}
#: What the way there and back may take of a deadline: servers are told to answer this much earlier.
_WAY_MS = 20
_FIRST_PAUSE_SECONDS = 0.05
_FORMAT = "was answered in an unknown format: do client and servers have the same release of Trireme?"
Answered = TypeVar("Answered", Answer, SimilarAnswer)
Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Post:
    """What is to be sent, and how long its answer may take."""

    path: str
    body: Any
    timeout_seconds: float


@dataclasses.dataclass(frozen=True)
class _Pause:
    """What is to be waited before the next try."""

    seconds: float


#: A call without its input and output: yields what is to be done, is told what came of it, and returns the answer.
_Call = Generator[_Post | _Pause, httpx.Response | httpx.TransportError | None, Any]


class Client:
    """Asks from a thread; may be shared by several."""

    def __init__(self, url: str, token: str = "", tries: int = 3, tls: ssl.SSLContext | None = None):
        """A client of one address; nothing is sent yet.

        Args:
            url: where Envoy listens.
            token: the bearer token, where it asks for one.
            tries: of a call; 1 is never again.
            tls: whom to believe and what certificate to show, of an https address; without, the authorities that are
                known everywhere, and none.
        """
        self._http = httpx.Client(**_settings(url, token, tls))
        self._tries = tries

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(self, request: Request) -> Answer:
        """The best items for a user.

        Raises:
            RequestError: the request breaks the contract; asking again is no use.
            ClientError: no answer could be had in time: show something else.
        """
        return self._done(_recommend(request, self._tries))

    def recommend_all(self, requests: Sequence[Request]) -> list[Answer | RequestError]:
        """As ``recommend`` for up to 256 users in one call; who is refused harms no neighbour."""
        return self._done(_recommend_all(requests, self._tries))

    def similar(self, request: SimilarRequest) -> SimilarAnswer:
        """Items like an item; raises as ``recommend`` does."""
        return self._done(_similar(request, self._tries))

    def send(self, events: Sequence[Mapping[str, Any]], deadline_ms: int = 10_000) -> None:
        """Tell what happened; returns when the broker has all of it.

        Raises:
            RequestError: one of them breaks the contract, and none was taken.
            ClientError: they were not acknowledged in time: send the same again.
        """
        return self._done(_send(events, deadline_ms, self._tries))

    def _done(self, call: _Call) -> Any:
        came: httpx.Response | httpx.TransportError | None = None
        while True:
            try:
                step = call.send(came)
            except StopIteration as end:
                return end.value
            if isinstance(step, _Pause):
                came = time.sleep(step.seconds)
                continue
            try:
                came = self._http.post(step.path, json=step.body, timeout=step.timeout_seconds)
            except httpx.TransportError as error:
                came = error


class AsyncClient:
    """The same for asyncio."""

    def __init__(self, url: str, token: str = "", tries: int = 3, tls: ssl.SSLContext | None = None):
        """As ``Client``."""
        self._http = httpx.AsyncClient(**_settings(url, token, tls))
        self._tries = tries

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def recommend(self, request: Request) -> Answer:
        """As ``Client.recommend``."""
        return await self._done(_recommend(request, self._tries))

    async def recommend_all(self, requests: Sequence[Request]) -> list[Answer | RequestError]:
        """As ``Client.recommend_all``."""
        return await self._done(_recommend_all(requests, self._tries))

    async def similar(self, request: SimilarRequest) -> SimilarAnswer:
        """As ``Client.similar``."""
        return await self._done(_similar(request, self._tries))

    async def send(self, events: Sequence[Mapping[str, Any]], deadline_ms: int = 10_000) -> None:
        """As ``Client.send``."""
        return await self._done(_send(events, deadline_ms, self._tries))

    async def _done(self, call: _Call) -> Any:
        came: httpx.Response | httpx.TransportError | None = None
        while True:
            try:
                step = call.send(came)
            except StopIteration as end:
                return end.value
            if isinstance(step, _Pause):
                came = await asyncio.sleep(step.seconds)
                continue
            try:
                # httpx's own limit is one for each read; a call's is for all of it.
                async with asyncio.timeout(step.timeout_seconds):
                    came = await self._http.post(step.path, json=step.body, timeout=None)
            except httpx.TransportError as error:
                came = error
            except TimeoutError:
                came = httpx.ReadTimeout("no answer in time")


def _settings(url: str, token: str, tls: ssl.SSLContext | None) -> dict[str, Any]:
    return {
        "base_url": url,
        "headers": {"authorization": f"Bearer {token}"} if token else {},
        # Proxies and .netrc of the environment are not for this.
        "trust_env": False,
        # Certificates take long to load, and are of use to nobody without TLS.
        "verify": tls or url.startswith("https:"),
    }


def _recommend(request: Request, tries: int) -> _Call:
    check_request(request.to_document())
    answer = yield from _asked("/v1/recommendations", lambda left: _within(request, left), request.deadline_ms, tries)
    return _read(Answer, answer)


def _recommend_all(requests: Sequence[Request], tries: int) -> _Call:
    longest = max((request.deadline_ms for request in requests), default=DEFAULT_DEADLINE_MS)
    body = lambda left: {"requests": [_within(request, left) for request in requests]}  # noqa: E731
    answers = (yield from _asked("/v1/recommendations", body, longest, tries)).get("answers")
    if not isinstance(answers, list) or len(answers) != len(requests):
        raise ClientError(f"/v1/recommendations {_FORMAT}", 200)
    return [_refusal(one["error"]) if "error" in one else _read(Answer, one) for one in answers]


def _similar(request: SimilarRequest, tries: int) -> _Call:
    check_similar(request.to_document())
    answer = yield from _asked("/v1/similar-items", lambda left: _within(request, left), request.deadline_ms, tries)
    return _read(SimilarAnswer, answer)


def _send(events: Sequence[Mapping[str, Any]], deadline_ms: int, tries: int) -> _Call:
    yield from _asked("/v1/events", lambda _: list(events), deadline_ms, tries, expected=202)


def _within(request: Request | SimilarRequest, left_ms: int) -> Document:
    return {**request.to_document(), "deadline_ms": max(1, min(request.deadline_ms, left_ms) - _WAY_MS)}


def _asked(path: str, body: Any, deadline_ms: int, tries: int, expected: int = 200) -> _Call:
    """One call: the answer's document.

    Args:
        path: of the route.
        body: from the milliseconds that are left to what is sent.
        deadline_ms: of all tries together.
        tries: at most so many.
        expected: the status of a good answer.
    """
    started, last, status, number = time.monotonic(), "nothing", 0, 0
    for number in range(1, tries + 1):
        left_ms = deadline_ms - round((time.monotonic() - started) * 1000)
        if left_ms <= 0:
            break
        came = yield _Post(path, body(left_ms), left_ms / 1000)
        if isinstance(came, httpx.Response):
            if came.status_code not in _AGAIN:
                return _document(path, came, expected)
            last, status = f"{came.status_code} {came.text[:200]}", came.status_code
        else:
            last, status = repr(came), 0
        # Doubled each time and drawn at random below that, so that clients do not come back together (Brooker 2015).
        pause = random.uniform(0, _FIRST_PAUSE_SECONDS * 2 ** (number - 1))
        if number < tries and pause * 1000 < deadline_ms - (time.monotonic() - started) * 1000:
            yield _Pause(pause)
    raise ClientError(
        f"{path}: no answer within {deadline_ms} ms; try {number} ended with {last}: "
        "show something else, and ask the operators whether the stack is up (python -m deploy status)",
        status,
    )


def _document(path: str, came: httpx.Response, expected: int) -> Document:
    try:
        document = came.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ClientError(f"{path} ({came.status_code}) {_FORMAT}", came.status_code)
    if came.status_code == expected:
        return document
    error = document.get("error")
    text = str(error.get("message")) if isinstance(error, dict) else str(error)
    if came.status_code == 400:
        raise _refusal(text)
    raise ClientError(f"{path}: expected {expected}, got {came.status_code}: {text}", came.status_code)


def _refusal(text: str) -> RequestError:
    field, _, message = text.partition(": ")
    return RequestError(field, message)


def _read(kind: type[Answered], document: Document) -> Answered:
    """An answer; fields that this client does not know yet are left out."""
    try:
        held: Document = {field.name: document[field.name] for field in dataclasses.fields(kind)}
    except KeyError as missing:
        raise ClientError(f"an answer without {missing} {_FORMAT}", 200) from None
    lists: Document = {name: tuple(value) for name, value in held.items() if isinstance(value, list)}
    return kind(**held | lists)
