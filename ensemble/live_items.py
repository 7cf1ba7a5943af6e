"""The shelf of now, kept as fresh as the online store: looked at once a second, off the path of requests.

The C++ twin is ``ensemble/backend/live_items.cc``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis

from contracts.item_state import KEY, VERSION, decode, values

log = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0
_TIMEOUT_SECONDS = 1.0


class LiveItems:
    """States of items, read whenever their version is another than before; without the store the last known stay."""

    def __init__(
        self,
        address: str,
        take: Callable[[Mapping[str, Mapping[str, str]]], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        """Connects to nothing yet.

        Args:
            address: the store's host:port.
            take: is given item id -> attribute -> newest value, whenever that has changed.
            clock: seconds.
        """
        host, _, port = address.rpartition(":")
        self._redis: Any = redis.Redis(
            host, int(port), socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
        )
        self._take = take
        self._clock = clock
        self._version: bytes | None = None
        self._looked = clock()

    def start(self) -> None:
        """Look from now on, in a thread that ends with the process."""
        threading.Thread(target=self._watch, name="live-items", daemon=True).start()

    def age_seconds(self) -> float:
        """Since when nothing is known of what the store holds."""
        return self._clock() - self._looked

    def look(self) -> bool:
        """Take the states in if they have changed; whether the store could be read."""
        try:
            version = self._redis.get(VERSION)
            if version != self._version:
                # The version was read first: what is written meanwhile has another, and is read again.
                self._take(_states(self._redis.hgetall(KEY)))
                self._version = version
        except redis.RedisError as error:
            log.warning("states of items are as of %.0f s ago: %s", self.age_seconds(), error)
            return False
        self._looked = self._clock()
        return True

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("states of items could not be taken in")
            time.sleep(PERIOD_SECONDS)


def _states(documents: Mapping[bytes, bytes]) -> dict[str, dict[str, str]]:
    """What can be read; a document that cannot is logged, and its item is as the release knows it."""
    states = {}
    for name, document in documents.items():
        try:
            states[name.decode()] = values(decode(document))
        except ValueError as error:
            log.error("state of item %r: %s", name, error)
    return states
