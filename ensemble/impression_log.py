"""Records of answers to the process that publishes them: never on a request's path, and never silently not at all.

A thread makes the bytes and sends them, a datagram each, over a Unix socket. While nobody reads, or not fast enough,
passages wait in a bounded queue; what finds it full is dropped, and counted by why.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from contracts.impressions import DROPPED, MAX_BYTES, encode
from ensemble.impressions import OfItem, Passage

log = logging.getLogger(__name__)

#: A passage of 500 candidates has some 20 KB.
MAX_WAITING = 1000
_RETRY_SECONDS = 0.2


class ImpressionLog:
    """One server process' way to a socket; ``close`` gives what still waits a last chance."""

    def __init__(self, path: str, record: Callable[[Any], dict[str, Any]], max_waiting: int = MAX_WAITING):
        self._path = path
        self._record = record
        self._waiting: queue.Queue[Passage | OfItem] = queue.Queue(max_waiting)
        self._counted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._away = True
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="impressions", daemon=True)
        self._thread.start()

    def __call__(self, passage: Passage | OfItem) -> None:
        """Log one answer, unless it is shown to nobody; returns at once."""
        if passage.envelope.shown:
            try:
                self._waiting.put_nowait(passage)
            except queue.Full:
                self._count("no_reader" if self._away else "slow_reader")

    def counts(self) -> Counter[str]:
        """What happened since the last call: ``sent``, and each of ``contracts.impressions.DROPPED``."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
        return counted

    def close(self, seconds: float = 1.0) -> None:
        """Send what waits if there is a reader, and end the thread."""
        self._done.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not (self._done.is_set() and (self._away or self._waiting.empty())):
            try:
                passage = self._waiting.get(timeout=_RETRY_SECONDS)
            except queue.Empty:
                continue
            try:
                self._count(self._sent(encode(self._record(passage))))
            except Exception as error:  # whatever a passage holds, the next one is logged
                log.error("impression of %s: %s: %s", passage.answer.request_id, type(error).__name__, error)
                self._count("failed")
        if self._socket:
            self._socket.close()

    def _sent(self, data: bytes) -> str:
        """Send when there is a reader that has room; what became of it."""
        if len(data) > MAX_BYTES:
            return "too_large"
        while True:
            try:
                self._connected().send(data)
                return "sent"
            except TimeoutError:
                if self._done.is_set():
                    return "slow_reader"
            except OSError:
                self._disconnect()
                if self._done.wait(_RETRY_SECONDS):
                    return "no_reader"

    def _connected(self) -> socket.socket:
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            made.settimeout(_RETRY_SECONDS)
            self._socket = made
            made.connect(self._path)
            self._away = False
        return self._socket

    def _disconnect(self) -> None:
        self._away = True
        if self._socket:
            self._socket.close()
            self._socket = None

    def _count(self, what: str) -> None:
        assert what == "sent" or what in DROPPED
        with self._lock:
            self._counted[what] += 1
