"""Hostile requests against a running stack: each is refused with a reason, no process ends, and memory comes back."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from rich.progress import Progress

from deploy.ports import HOST
from tests.drills.malice import REFUSALS, Grpc, Raw, Rest, malice
from tests.drills.stand import Stand

#: Bytes that a refusal has at most.
LONGEST_REFUSAL = 2000
#: Memory of the whole stack afterwards: at most so much over what it was after the first tenth, in MiB.
MOST_GROWTH_MIB = 64.0
_AT_ONCE = 16
_TIMEOUT_SECONDS = 15.0
#: Bodies of 64 MiB, and clients that stop in the middle of what they say: some, for each takes its time.
HUGE_BODIES = 8
SLOW_CLIENTS = 50


class Attacker:
    """One thread's connections to the door."""

    def __init__(self, port: int):
        self._port = port
        self._http = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_SECONDS)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(f"{HOST}:{port}", options)

    def close(self) -> None:
        self._http.close()
        self._channel.close()

    def complaint(self, request: Rest | Raw | Grpc) -> str:
        """What is wrong with how a request was received; "" when it was refused as it should be."""
        if isinstance(request, Grpc):
            return self._grpc(request)
        return self._rest(request) if isinstance(request, Rest) else self._raw(request)

    def _grpc(self, request: Grpc) -> str:
        try:
            self._channel.unary_unary(request.path)(request.message, timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""  # pyright: ignore
            if code in REFUSALS and 0 < len(details.encode()) <= LONGEST_REFUSAL:
                return ""
            return f"gRPC {code}: {details[:200]}"
        return "gRPC OK"

    def _rest(self, request: Rest) -> str:
        try:
            self._http.request(request.method, request.path, request.body, dict(request.headers))
            answer = self._http.getresponse()
            body = answer.read()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            self._http.close()
            # Whoever sends more than is taken may find the door shut before he has read why.
            return "" if len(request.body) > 65_536 or len(request.headers) > 1 else "connection closed"
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            return f"REST {type(error).__name__}: {error}"
        if not 400 <= answer.status < 500:
            return f"REST {answer.status}: {body[:200]!r}"
        if not 0 < len(body) <= LONGEST_REFUSAL:
            return f"REST {answer.status} with {len(body)} bytes"
        try:
            return "" if json.loads(body)["error"] else "REST without a reason"
        except (ValueError, KeyError, TypeError):
            return f"REST {answer.status} without a reason: {body[:80]!r}"

    def _raw(self, request: Raw) -> str:
        try:
            with socket.create_connection((HOST, self._port), _TIMEOUT_SECONDS) as connection:
                connection.sendall(request.data)
                start = connection.recv(4096)
        except ConnectionError:
            return ""
        except OSError as error:
            return f"raw {type(error).__name__}: {error}"
        return "" if not start or start[:10] == b"HTTP/1.1 4" or start[:1] == b"\x00" else f"raw {start[:80]!r}"


def attack(stood: Stand, count: int, seed: int, progress: Progress) -> dict[str, Any]:
    """``count`` hostile requests, some huge bodies and some slow clients; a row of the drills' table."""
    port = stood.site.ports["public"]
    before = pids(stood)
    task = progress.add_task("hostile", total=count)
    slow = [_slow_client(port, i) for i in range(SLOW_CLIENTS)]
    complaints = Counter(huge_bodies(port))
    first, started = count // 10, time.monotonic()
    complaints += storm(port, first, seed, lambda done: progress.update(task, completed=done))
    settled = stood.pss_mib()
    complaints += storm(port, count - first, seed + 1, lambda done: progress.update(task, completed=first + done))
    seconds = time.monotonic() - started
    complaints += Counter(filter(None, map(_slow_end, slow)))
    grown = stood.pss_mib() - settled
    wrong = [] if pids(stood) == before else ["a process was started again"]
    wrong += [] if grown <= MOST_GROWTH_MIB else [f"memory grew by {grown:.0f} MiB"]
    wrong += [] if stood.is_whole() else ["the stack is not whole"]
    return {
        "name": "hostile",
        "requests": count + HUGE_BODIES + SLOW_CLIENTS,
        "failed": complaints.total(),
        "degraded": 0,
        "recovered_in_ms": 0,
        "requests_per_second": round(count / seconds),
        "pss_mib": round(settled),
        "pss_grown_mib": round(grown, 1),
        "failures": dict(complaints.most_common(10)),
        "wrong": ", ".join(wrong),
    }


def pids(stood: Stand) -> set[int]:
    """Of every process of the stack."""
    return {process.pid for family in stood.processes().values() for process in family}


def storm(port: int, count: int, seed: int, advance: Any = lambda done: None) -> Counter[str]:
    """``count`` requests, many at once; what was wrong with how they were received."""
    source, lock, done = itertools.islice(malice(seed), count), threading.Lock(), itertools.count(1)

    def attacker(_: int) -> Counter[str]:
        held, complaints = Attacker(port), Counter[str]()
        try:
            while True:
                with lock:
                    request = next(source, None)
                if request is None:
                    return complaints
                complaint = held.complaint(request)
                if complaint:
                    complaints[f"{complaint} to {_named(request)}"] += 1
                number = next(done)
                if number % 100 == 0:
                    advance(number)
        finally:
            held.close()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(pool.map(attacker, range(_AT_ONCE)), Counter())


def _named(request: Rest | Raw | Grpc) -> str:
    """What was sent, as short as a report can bear."""
    if isinstance(request, Rest):
        return f"{request.method} {request.path} {len(request.headers)} headers {request.body[:60]!r}"
    return f"{request.path} {request.message[:40]!r}" if isinstance(request, Grpc) else repr(request.data[:60])


def huge_bodies(port: int, number: int = HUGE_BODIES) -> list[str]:
    """Bodies of 64 MiB: 413, or the door shut before all was sent."""
    body = b'{"user_id": "' + b"u" * (64 << 20) + b'"}'
    attacker = Attacker(port)
    try:
        return [text for _ in range(number) if (text := attacker.complaint(Rest("POST", "/v1/recommendations", body)))]
    finally:
        attacker.close()


def _slow_client(port: int, number: int) -> socket.socket:
    """Says half of something and no more."""
    connection = socket.create_connection((HOST, port), _TIMEOUT_SECONDS)
    head = b"POST /v1/recommendations HTTP/1.1\r\nhost: x\r\n"
    connection.sendall(head if number % 2 else head + b"content-length: 100\r\n\r\n{")
    return connection


def _slow_end(connection: socket.socket) -> str:
    """What such a client was told: 408, or the end of the connection."""
    with connection:
        try:
            start = connection.recv(4096)
        except ConnectionError:
            return ""
        except OSError:
            return "a slow client holds its connection"
        return "" if not start or start[:10] == b"HTTP/1.1 4" else f"slow client: {start[:80]!r}"
