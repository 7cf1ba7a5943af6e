"""Events and impressions to the broker, acknowledged or refused within a bounded time.

A producer that met a dead or restarted broker may never recover (kafka-python 3.0), so it is given up at the first
failure and built anew. What it still held may arrive all the same: senders repeat a record under its own id, and the
second one is dropped downstream.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from contracts.errors import StackError
from streaming import topics
from streaming.settings import StreamSettings

log = logging.getLogger(__name__)

#: After a failed attempt to reach the broker, callers are refused at once for so long instead of waiting in line.
PAUSE_SECONDS = 0.5


class Record(NamedTuple):
    """One message: records of the same key keep their order."""

    key: bytes
    value: bytes


class UnavailableError(Exception):
    """The broker did not acknowledge in time."""


class Publisher:
    """Publishes batches; safe to call from many threads."""

    def __init__(self, settings: StreamSettings, ack_seconds: float, topic: str = topics.EVENTS):
        self._settings = settings
        self._topic = topic
        self._ack_seconds = ack_seconds
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._refuse_until = 0.0

    @property
    def connected(self) -> bool:
        """Whether the last word from the broker was good."""
        return self._producer is not None

    def publish(self, records: Sequence[Record]) -> None:
        """Return when the broker has acknowledged every record.

        Raises:
            UnavailableError: when it did not within ``ack_seconds``; some of the records may be stored nevertheless.
        """
        deadline = time.monotonic() + self._ack_seconds
        producer = self.connect(deadline)
        try:
            futures = [producer.send(self._topic, value=record.value, key=record.key) for record in records]
            for future in futures:
                future.get(timeout=max(0.001, deadline - time.monotonic()))
        except KafkaError as error:
            self._give_up(producer)
            raise UnavailableError(f"the broker did not acknowledge within {self._ack_seconds} s: {error}") from error

    def connect(self, deadline: float) -> KafkaProducer:
        """The producer, made when there is none.

        Raises:
            UnavailableError: when the broker does not answer.
        """
        producer = self._producer
        if producer is not None:
            return producer
        if time.monotonic() < self._refuse_until or not self._lock.acquire(
            timeout=max(0.0, deadline - time.monotonic())
        ):
            raise UnavailableError("the broker is not reachable")
        try:
            if self._producer is None:
                self._producer = self._build()
            return self._producer
        except (KafkaError, StackError) as error:
            self._refuse_until = time.monotonic() + PAUSE_SECONDS
            raise UnavailableError(str(error)) from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Send what is buffered and end the producer's thread."""
        if self._producer is not None:
            self._producer.close(timeout=self._ack_seconds)
            self._producer = None

    def _build(self) -> KafkaProducer:
        topic = topics.ensure(self._settings, self._topic)
        log.info("publishing to topic %s of %s, incarnation %s", self._topic, self._settings.kafka, topic.incarnation)
        wait_ms = int(self._ack_seconds * 1000)
        options: dict[str, Any] = {
            "bootstrap_servers": self._settings.kafka,
            "acks": "all",
            # An idempotent producer is dead for good once the embedded broker restarts; event ids deduplicate anyway.
            "enable_idempotence": False,
            "compression_type": "lz4",
            # Records of a batch are compressed together: by default two impressions would fill one.
            "batch_size": 256 * 1024,
            "allow_auto_create_topics": False,
            "max_block_ms": wait_ms,
            "request_timeout_ms": wait_ms,
            "delivery_timeout_ms": wait_ms,
            "bootstrap_timeout_ms": topics.TIMEOUT_MS,
        }
        return KafkaProducer(**options)

    def _give_up(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
        with contextlib.suppress(KafkaError):  # nothing is waited for: its callers have been refused
            producer.close(timeout=0)
