"""What servers say was shown, from a Unix socket to the topic of impressions, by way of a queue on disk.

A server never waits for this process: it sends a datagram for each answer, or counts that it could not. Here a thread
takes datagrams in as fast as they come, checks them and appends them to the spool; the other publishes what lies there,
in order, and takes it away when the broker has acknowledged it. While the broker is gone the spool grows up to its
bound, and then the oldest go and are counted. A killed process publishes its last records again: readers know them by
their ``request_id``.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from contracts.artifacts import Zones
from contracts.errors import StackError
from contracts.impressions import MAX_BYTES
from streaming import topics
from streaming.codec import ImpressionCodec, UndecodableError
from streaming.publisher import Publisher, Record, UnavailableError
from streaming.settings import StreamSettings
from streaming.spool import Spool
from streaming.turnover import Turnover

log = logging.getLogger(__name__)

ACK_SECONDS = 5.0
RETRY_SECONDS = 0.5
#: Of one batch: the broker refuses one of more than a megabyte.
BATCH_RECORDS, BATCH_BYTES = 500, 800_000
#: Nobody waits for them: what comes within this time goes, and is compressed, together.
GATHER_SECONDS = 0.25
_WAIT_SECONDS = 0.2
#: A fault that repeats is told so often, and counted each time.
_TELL_SECONDS = 10.0

RECEIVED = Counter("trireme_impressions_received", "Impressions taken in.")
REFUSED = Counter("trireme_impressions_refused", "Datagrams that are no impression.")
PUBLISHED = Counter("trireme_impressions_published", "Impressions that the broker acknowledged.")
FAILURES = Counter("trireme_impressions_publish_failures", "Batches that the broker did not acknowledge in time.")
WAITING = Gauge("trireme_impressions_spool_bytes", "What waits on disk for the broker, bytes.")
SPOOL_DROPPED = Counter("trireme_impressions_spool_dropped", "Impressions dropped as the oldest of too many.")


def run(
    settings: StreamSettings,
    zones: Zones,
    codec: ImpressionCodec,
    spool: Spool,
    server: socket.socket,
    stop: threading.Event,
) -> None:
    """Receive and publish until ``stop`` is set; what is not published then stays in the spool."""
    WAITING.set_function(lambda: spool.bytes)
    receiver = threading.Thread(target=_receive, args=(codec, spool, server, stop), name="receive")
    receiver.start()
    publisher = Publisher(settings, ACK_SECONDS, topics.IMPRESSIONS)
    turnover = Turnover(settings, zones, publisher)
    try:
        while not stop.wait(GATHER_SECONDS):
            if turnover.room():
                _publish(spool, publisher, stop)
    finally:
        stop.set()
        receiver.join()
        publisher.close()
        spool.close()


@contextlib.contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """A socket that servers of this user send to; a file that a killed process left is taken over.

    Raises:
        StackError: when it cannot be had, or another process listens there.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        if _is_taken(path):
            raise StackError(f"another process listens at {path}: is another stack running?")
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).unlink(missing_ok=True)
            server.bind(path)
            Path(path).chmod(0o600)
        except OSError as error:
            raise StackError(f"cannot listen at {path}: {error}; a path has at most 107 bytes") from None
        try:
            yield server
        finally:
            Path(path).unlink(missing_ok=True)
    finally:
        server.close()


def _is_taken(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        try:
            other.connect(path)
        except OSError:
            return False
    return True


def _publish(spool: Spool, publisher: Publisher, stop: threading.Event) -> None:
    """One batch, if there is one."""
    records, place = spool.read(BATCH_RECORDS, BATCH_BYTES, _WAIT_SECONDS)
    if records:
        try:
            publisher.publish(records)
            spool.done(place, len(records))
            PUBLISHED.inc(len(records))
        except UnavailableError as error:
            FAILURES.inc()
            log.warning("%d impressions wait on disk (%d bytes): %s", len(records), spool.bytes, error)
            stop.wait(RETRY_SECONDS)


def _receive(codec: ImpressionCodec, spool: Spool, server: socket.socket, stop: threading.Event) -> None:
    server.settimeout(_WAIT_SECONDS)
    told = 0.0
    while not stop.is_set():
        try:
            data = server.recv(MAX_BYTES + 1)
        except TimeoutError:
            continue
        try:
            document, value = codec.served(data)
        except (UndecodableError, StackError) as error:
            REFUSED.inc()
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                log.error("no impression: %s", error)
            continue
        RECEIVED.inc()
        before = spool.dropped
        spool.append(Record(_key(document), value))
        if spool.dropped > before:
            SPOOL_DROPPED.inc(spool.dropped - before)
            log.error("the spool is full: its %d oldest impressions are gone", spool.dropped - before)


def _key(document: dict[str, Any]) -> bytes:
    """Records of a user keep their order."""
    who = document["user_id"] or document["anonymous_id"] or document["item_id"] or document["request_id"]
    return who.encode()
