"""Kafka to the lake: every record of a topic in exactly one file, whatever is killed in between.

Offsets are not stored anywhere: a live file is named by the offsets of its flush and appears whole, and a new start
goes on after the highest one. Records that break their topic's contract go to the quarantine zone, in a file that is
written before the live one; where the live one is missing, the next start takes it away and reads those records again.
Nothing is lost as long as the broker keeps what was not yet written (``flush_seconds`` of it). What it did not keep is
counted, and named by its offsets in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import datetime, timezone
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from contracts import live_files
from contracts.artifacts import Zones
from contracts.errors import StackError
from contracts.events import FIELDS, Event, Reason
from streaming import lake, quarantine, refusals, topics
from streaming.codec import UndecodableError, decode
from streaming.compaction import compact
from streaming.quarantine import Refused
from streaming.settings import StreamSettings
from streaming.watch import TopicWatch

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_EVENTS = 20_000
POLL_MS = 200
RETRY_SECONDS = 0.5

RECORDS = Counter("trireme_lake_records", "Records written to the lake.", ["topic"])
FILES = Counter("trireme_lake_files", "Files written to the lake.", ["topic"])
QUARANTINED = Counter("trireme_lake_quarantined", "Records that break their contract, by reason.", ["topic", "reason"])
LOST = Counter("trireme_lake_lost_records", "Records that the broker no longer held when their turn came.", ["topic"])
BUFFERED = Gauge("trireme_lake_buffered_records", "Records read from the broker and not yet written.", ["topic"])

#: A live file's columns, with room for integers of too many bits: the contract refuses those before they are written.
_WIDE = pa.schema([field.with_type(pa.int64()) if field.type == pa.int32() else field for field in lake.LIVE_SCHEMA])


class Buffer:
    """Events of one partition in the order of their offsets, read and not yet written."""

    topic = topics.EVENTS

    def __init__(self, partition: int, incarnation: str):
        self.partition = partition
        self.incarnation = incarnation
        self.clear()

    def clear(self) -> None:
        """Forget all records."""
        self.offsets: list[int] = []  # of all records
        self._events: list[tuple[Event, int, bytes | None]] = []
        self._refused: list[Refused] = []

    def take(self, offset: int, value: bytes | None) -> None:
        """Add the next record; a ``StackError`` of the registry leaves the buffer as it was."""
        try:
            self._events.append((decode(value), offset, value))
        except UndecodableError as error:
            self._refused.append(Refused(offset, Reason.UNDECODABLE.value, str(error), value))
        self.offsets.append(offset)

    def split(self, now_ms: int) -> tuple[pa.Table, list[Refused]]:
        """The events of the contract, in the schema of a live file, and all other records."""
        events = [event for event, _, _ in self._events]
        columns: dict[str, Any] = {field.name: [getattr(event, field.name) for event in events] for field in FIELDS}
        columns["attributes"] = [None if a is None else list(a.items()) for a in columns["attributes"]]
        columns["partition"] = [self.partition] * len(events)
        columns["offset"] = [offset for _, offset, _ in self._events]
        columns["incarnation"] = [self.incarnation] * len(events)
        table, out, keep = pa.table(columns, schema=_WIDE), list(self._refused), np.ones(len(events), bool)
        for row, error in refusals.refused(events, table, now_ms):
            _, offset, value = self._events[row]
            out.append(Refused(offset, error.code, str(error), value))
            keep[row] = False
        kept = table if keep.all() else table.filter(pa.array(keep))
        return kept.cast(lake.LIVE_SCHEMA), sorted(out)


def write(zones: Zones, buffer: Buffer, now: datetime) -> str:
    """Write a buffer's records as files that appear whole, and empty it; the live file's URL.

    The live file is written even when it has no row: it moves the position on, and it comes last.
    """
    events, refused = buffer.split(int(now.timestamp() * 1000))
    name = live_files.live_name(buffer.partition, buffer.incarnation, buffer.offsets[0], buffer.offsets[-1])
    if refused:
        quarantine.write(zones, name, buffer.partition, buffer.incarnation, refused, now, buffer.topic)
    url = f"{live_files.live_folder(zones, now, buffer.topic)}/{name}"
    lake.place(*fsspec.core.url_to_fs(url), events)
    _account(buffer, events.num_rows, refused)
    buffer.clear()
    return url


def _account(buffer: Buffer, events: int, refused: list[Refused]) -> None:
    RECORDS.labels(buffer.topic).inc(events)
    FILES.labels(buffer.topic).inc()
    for reason, count in Counts(row.reason for row in refused).items():
        QUARANTINED.labels(buffer.topic, reason).inc(count)
        log.error(
            "%s, partition %d: %d of the records %d to %d are in quarantine as %s",
            *(buffer.topic, buffer.partition, count, buffer.offsets[0], buffer.offsets[-1], reason),
        )


def run(
    settings: StreamSettings,
    zones: Zones,
    stop: threading.Event,
    flush_seconds: float = FLUSH_SECONDS,
    kind: type[Buffer] = Buffer,
) -> None:
    """Drain a topic until ``stop`` is set; then write what is buffered."""
    while not stop.is_set():
        try:
            _drain(settings, zones, stop, flush_seconds, kind)
        except (KafkaError, StackError) as error:
            log.warning("%s: trying again in %s s: %s", kind.topic, RETRY_SECONDS, error)
            stop.wait(RETRY_SECONDS)


def run_all(
    settings: StreamSettings, zones: Zones, stop: threading.Event, flush_seconds: float, kinds: Sequence[type[Buffer]]
) -> None:
    """``run`` for several topics, a thread for each; a fault of one that is not met ends all, and is raised."""
    with ThreadPoolExecutor(len(kinds), "lake") as pool:
        runs = [pool.submit(run, settings, zones, stop, flush_seconds, kind) for kind in kinds]
        wait(runs, return_when=FIRST_COMPLETED)
        stop.set()
        for each in runs:
            each.result()


def _drain(
    settings: StreamSettings, zones: Zones, stop: threading.Event, flush_seconds: float, kind: type[Buffer]
) -> None:
    """One life of a consumer: ends at ``stop``, at an error, or when the broker forgot; always writes its buffers."""
    topic = topics.ensure(settings, kind.topic)
    written = live_files.ends(live_files.live_files(zones, kind.topic)).get(topic.incarnation, {})
    quarantine.drop_unfinished(zones, topic.incarnation, written, kind.topic)
    offsets = {partition: written.get(partition, 0) for partition in topic.partitions}
    log.info("writing %s of incarnation %s from offsets %s", kind.topic, topic.incarnation, offsets)
    buffers = {partition: kind(partition, topic.incarnation) for partition in topic.partitions}
    client = topics.consumer(settings, offsets, POLL_MS, kind.topic)
    _skip_what_is_gone(client, offsets, kind.topic)
    due, tidied, buffered = time.monotonic() + flush_seconds, "", BUFFERED.labels(kind.topic)
    try:
        with TopicWatch(settings, topic.incarnation, topic=kind.topic) as watch:
            while not stop.is_set() and watch.reason is None:
                for place, records in client.poll(timeout_ms=POLL_MS).items():
                    for record in records:
                        buffers[place.partition].take(record.offset, record.value)
                waiting = sum(len(buffer.offsets) for buffer in buffers.values())
                buffered.set(waiting)
                if waiting >= FLUSH_EVENTS or time.monotonic() >= due:
                    _flush(zones, buffers)
                    buffered.set(0)
                    due = time.monotonic() + flush_seconds
                    tidied = _tidy(zones, tidied, kind.topic)
            if watch.reason:
                log.warning("starting over: %s", watch.reason)
    finally:
        _flush(zones, buffers)
        buffered.set(0)
        client.close(autocommit=False, timeout_ms=1000)


def _skip_what_is_gone(client: Any, offsets: Mapping[int, int], topic: str) -> None:
    """Let the consumer begin with what the broker still holds; what it gave up before we came is said and counted."""
    for place, first in client.beginning_offsets(list(client.assignment())).items():
        gone = first - offsets[place.partition]
        if gone > 0:
            LOST.labels(topic).inc(gone)
            log.error(
                "%s, partition %d: the broker no longer holds the records %d to %d: its retention is too short, or the "
                "lake writer was away too long",
                *(topic, place.partition, offsets[place.partition], first - 1),
            )
            client.seek(place, first)


def _flush(zones: Zones, buffers: Mapping[int, Buffer]) -> None:
    for buffer in buffers.values():
        if buffer.offsets:
            write(zones, buffer, datetime.now(timezone.utc))


def _tidy(zones: Zones, last: str, topic: str) -> str:
    """Merge the files of past hours at the first flush of an hour, and at the start; the hour."""
    now = datetime.now(timezone.utc)
    hour = f"{now:%Y-%m-%d %H}"
    if hour != last:
        compact(zones, now, topic)
    return hour
