"""When a part is ready: it does what it is for, not merely lives. Each check answers True, or False, or raises."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import redis

from contracts.door import OPEN_DOOR, DoorSettings
from contracts.errors import StackError
from contracts.impressions import PROBE_REQUEST_ID
from deploy.ports import HOST, address

log = logging.getLogger(__name__)

Check = Callable[[], bool]
#: Lines of a part's log that an error shows.
LOG_LINES = 15


def redis_answers(port: int) -> bool:
    """PING; while Redis still reads its append-only file it raises."""
    with redis.Redis(HOST, port, socket_timeout=1) as client:
        return bool(client.ping())


def broker_answers(port: int) -> bool:
    """The broker's metadata, by the client that the stack uses."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        client = KafkaAdminClient(bootstrap_servers=address(port), request_timeout_ms=2000)
    except KafkaError:
        return False
    try:
        return client.list_topics() is not None
    finally:
        client.close()


def http_ok(port: int, path: str) -> bool:
    """A GET that answers 200."""
    return http_get(port, path)[0] == 200


def http_get(port: int, path: str, timeout: float = 2.0) -> tuple[int, bytes]:
    """Status and body of a GET on the loopback interface."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def envoy_serves(admin_port: int, public_port: int, door: DoorSettings = OPEN_DOOR) -> bool:
    """Every tritonserver passed its health inference, and an inference by way of the public port answers.

    The latter is left out where the door wants a certificate and we were given none to show, and where we do not know
    the door by its own: clients may.
    """
    status, body = http_get(admin_port, "/clusters?format=json")
    if status != 200:
        return False
    for cluster in json.loads(body)["cluster_statuses"]:
        for host in cluster.get("host_statuses", []):
            if host["health_status"].get("failed_active_health_check"):
                return False
    if not door.may_ask:
        return True
    try:
        return _asked(public_port, door, "GET", "/healthz") and _inference(public_port, door)
    except ssl.SSLCertVerificationError as error:
        log.warning("our own commands cannot ask at the door: %s (TRIREME_PUBLIC_HOST says its name)", error)
        return True


def _inference(port: int, door: DoorSettings) -> bool:
    body = json.dumps({"user_id": "readiness", "k": 1, "request_id": PROBE_REQUEST_ID})
    return _asked(port, door, "POST", "/v1/recommendations", body)


def _asked(port: int, door: DoorSettings, method: str, path: str, body: str | None = None) -> bool:
    connection = door.connect(port, timeout_seconds=2)
    try:
        connection.request(method, path, body, {"content-type": "application/json", **door.headers()})
        return connection.getresponse().status == 200
    finally:
        connection.close()


def wait_ready(part: str, check: Check, timeout_seconds: float, log: Path, is_alive: Check) -> None:
    """Poll a check until it answers True.

    Raises:
        StackError: when the part died or the time is over: names the part and shows the end of its log.
    """
    end = time.monotonic() + timeout_seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException, redis.RedisError, ValueError):
            if check():
                return
        died = not is_alive()
        if died or time.monotonic() > end:
            why = "ended" if died else f"is not ready after {timeout_seconds:.0f} s"
            raise StackError(f"{part} {why}; the end of {log}:\n{log_tail(log)}")
        time.sleep(0.1)


def log_tail(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log, indented."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"
