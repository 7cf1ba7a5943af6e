"""A thread that looks, once a second, whether the ground still stands: the topic's incarnation and what else is asked.

A consumer cannot notice by itself that the broker forgot: it waits for an offset that comes much later or never.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from contracts.errors import StackError
from streaming import topics
from streaming.settings import StreamSettings

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0


class TopicWatch:
    """Watches while it is entered; ``reason`` says why the session must start over, or is None.

    Args:
        settings: where the broker is.
        incarnation: the topic's id that the session counts on.
        also: called at every look; returns another reason to start over, or None.
        topic: its name.
    """

    def __init__(
        self,
        settings: StreamSettings,
        incarnation: str,
        also: Callable[[], str | None] = lambda: None,
        topic: str = topics.EVENTS,
    ):
        self.reason: str | None = None
        self._name = topic
        self._settings = settings
        self._incarnation = incarnation
        self._also = also
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="topic-watch", daemon=True)

    def __enter__(self) -> TopicWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(INTERVAL_SECONDS) and self.reason is None:
            self.reason = self._look()

    def _look(self) -> str | None:
        reason = self._also()
        if reason is not None:
            return reason
        try:
            topic = topics.current(self._settings, self._name)
        except StackError as error:  # an outage ends or the broker comes back empty: both are seen at a later look
            log.warning("%s", error)
            return None
        if topic is None:
            return f"the broker has no topic of {self._name} any more"
        if topic.incarnation != self._incarnation:
            return f"the broker forgot: the topic's incarnation was {self._incarnation} and is {topic.incarnation}"
        return None
