"""Kafka to the lake: every record in exactly one file, whatever is killed in between.

Offsets are not stored anywhere: a file is named by the offsets that it holds and appears whole, and a new start goes on
after the highest one. Nothing is lost as long as the broker keeps what was not yet written (``flush_seconds`` of it).
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timezone
from typing import Any

import fsspec
import pyarrow as pa
from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from contracts.artifacts import Zones
from contracts.errors import StackError
from contracts.events import FIELDS, Event
from streaming import lake, topics
from streaming.codec import UndecodableError, decode
from streaming.compaction import compact
from streaming.settings import StreamSettings
from streaming.watch import TopicWatch

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_EVENTS = 20_000
POLL_MS = 200
RETRY_SECONDS = 0.5

EVENTS = Counter("trireme_lake_events", "Events written to the lake.")
FILES = Counter("trireme_lake_files", "Files written to the lake.")
UNDECODABLE = Counter("trireme_lake_undecodable", "Records that are no event; passed over.")
BUFFERED = Gauge("trireme_lake_buffered_events", "Events read from the broker and not yet written.")


class Buffer:
    """Decoded records of one partition in the order of their offsets."""

    def __init__(self, partition: int, incarnation: str):
        self.partition = partition
        self.incarnation = incarnation
        self.rows: list[tuple[Event, int]] = []

    def table(self) -> pa.Table:
        """The rows in the schema of a live file."""
        names = [field.name for field in FIELDS]
        columns: dict[str, Any] = {name: [getattr(event, name) for event, _ in self.rows] for name in names}
        columns["attributes"] = [None if a is None else list(a.items()) for a in columns["attributes"]]
        columns["partition"] = [self.partition] * len(self.rows)
        columns["offset"] = [offset for _, offset in self.rows]
        columns["incarnation"] = [self.incarnation] * len(self.rows)
        return pa.table(columns, schema=lake.LIVE_SCHEMA)


def write(zones: Zones, buffer: Buffer, now: datetime) -> str:
    """Write a buffer as one file that appears whole, and empty it; the file's URL."""
    first, last = buffer.rows[0][1], buffer.rows[-1][1]
    name = lake.live_name(buffer.partition, buffer.incarnation, first, last)
    url = f"{lake.live_folder(zones, now)}/{name}"
    lake.place(*fsspec.core.url_to_fs(url), buffer.table())
    EVENTS.inc(len(buffer.rows))
    FILES.inc()
    buffer.rows.clear()
    return url


def run(settings: StreamSettings, zones: Zones, stop: threading.Event, flush_seconds: float = FLUSH_SECONDS) -> None:
    """Drain the topic until ``stop`` is set; then write what is buffered."""
    while not stop.is_set():
        try:
            _drain(settings, zones, stop, flush_seconds)
        except (KafkaError, StackError) as error:
            log.warning("trying again in %s s: %s", RETRY_SECONDS, error)
            stop.wait(RETRY_SECONDS)


def _drain(settings: StreamSettings, zones: Zones, stop: threading.Event, flush_seconds: float) -> None:
    """One life of a consumer: ends at ``stop``, at an error, or when the broker forgot; always writes its buffers."""
    topic = topics.ensure(settings)
    written = lake.ends(lake.live_files(zones)).get(topic.incarnation, {})
    offsets = {partition: written.get(partition, 0) for partition in topic.partitions}
    log.info("writing incarnation %s from offsets %s", topic.incarnation, offsets)
    buffers = {partition: Buffer(partition, topic.incarnation) for partition in topic.partitions}
    client = topics.consumer(settings, offsets, wait_ms=POLL_MS)
    due, tidied = time.monotonic() + flush_seconds, ""
    try:
        with TopicWatch(settings, topic.incarnation) as watch:
            while not stop.is_set() and watch.reason is None:
                for place, records in client.poll(timeout_ms=POLL_MS).items():
                    _take(buffers[place.partition], records)
                waiting = sum(len(buffer.rows) for buffer in buffers.values())
                BUFFERED.set(waiting)
                if waiting >= FLUSH_EVENTS or time.monotonic() >= due:
                    _flush(zones, buffers)
                    due = time.monotonic() + flush_seconds
                    tidied = _tidy(zones, tidied)
            if watch.reason:
                log.warning("starting over: %s", watch.reason)
    finally:
        _flush(zones, buffers)
        client.close(autocommit=False, timeout_ms=1000)


def _take(buffer: Buffer, records: list[Any]) -> None:
    for record in records:
        try:
            buffer.rows.append((decode(record.value), record.offset))
        except UndecodableError as error:
            UNDECODABLE.inc()
            log.error("partition %d, offset %d is no event: %s", record.partition, record.offset, error)


def _flush(zones: Zones, buffers: dict[int, Buffer]) -> None:
    for buffer in buffers.values():
        if buffer.rows:
            write(zones, buffer, datetime.now(timezone.utc))
    BUFFERED.set(0)


def _tidy(zones: Zones, last: str) -> str:
    """Merge the files of past hours at the first flush of an hour, and at the start; the hour."""
    now = datetime.now(timezone.utc)
    hour = f"{now:%Y-%m-%d %H}"
    if hour != last:
        compact(zones, now)
    return hour
