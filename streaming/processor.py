"""The feature processor: records from the topic, features in the online store, each event counted once.

The loop keeps nothing in memory that is not in Redis, in the lake or in the topic, so after any error it starts over
from what is stored there. An update of an item changes the category under which later interactions are counted.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge, Histogram
from redis.exceptions import RedisError

from contracts import live_files
from contracts.artifacts import Zones
from contracts.config import Config
from contracts.errors import StackError
from streaming import lake, rebuild, topics, updates
from streaming.catalogue import Catalogue
from streaming.online import FencedError, OnlineStore, Position
from streaming.settings import StreamSettings
from streaming.watch import TopicWatch

log = logging.getLogger(__name__)

#: The broker holds an empty fetch for this long: half of it is added to every event's way (10.9 ms p50 in all).
FETCH_WAIT_MS = 10
POLL_MS = 200
RETRY_SECONDS = 0.5

EVENTS = Counter("trireme_processor_events", "Records by what became of them.", ["outcome"])
LATE_COUNTS = Counter(
    "trireme_processor_late_counts", "Interactions of a bucket that was visible already: counted by the batch alone."
)
LOST = Counter("trireme_processor_lost_records", "Records that the broker no longer held when their turn came.")
LAG = Gauge("trireme_processor_lag_events", "Records in the topic that are not folded in yet.")
LATENCY = Histogram(
    "trireme_processor_event_to_feature_seconds",
    "From the collector's send to the feature in the online store.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
REBUILD_SECONDS = Gauge("trireme_processor_rebuild_seconds", "How long the lake took to fill the store.")
REBUILDS = Counter("trireme_processor_rebuilds", "Times the lake filled the store, by what was folded.", ["events"])
SESSIONS = Counter("trireme_processor_sessions", "Starts of the loop; rises after every error.")


def run(settings: StreamSettings, config: Config, zones: Zones, stop: threading.Event) -> None:
    """Process until ``stop`` is set."""
    for outcome in ("applied", "duplicate", "late", updates.UNDECODABLE, updates.NO_INTERACTION):
        EVENTS.labels(outcome)  # a counter that is there from the start can be alerted on
    store = OnlineStore(settings.redis_address, config.features)
    while not stop.is_set():
        try:
            if store.lease():
                SESSIONS.inc()
                _session(settings, config, zones, store, stop)
            else:
                log.info("another processor holds the lease")
        # A file of the lake is not found when it was merged while it was read.
        except (KafkaError, RedisError, StackError, FencedError, FileNotFoundError) as error:
            log.warning("starting over in %s s: %s", RETRY_SECONDS, error)
        stop.wait(RETRY_SECONDS)
    try:
        store.release()
    except RedisError as error:
        log.warning("the lease runs out by itself: %s", error)


def _session(settings: StreamSettings, config: Config, zones: Zones, store: OnlineStore, stop: threading.Event) -> None:
    """From the stored position on, until ``stop``, an error, or a reason to start over."""
    topic = topics.ensure(settings)
    with TopicWatch(settings, topic.incarnation, also=functools.partial(_check, store)) as watch:
        position = store.position()
        if not rebuild.is_current(position, topic, lake.origin(config, zones)):
            log.info("the online store is not current: the lake fills it")
            made = rebuild.make_current(store, config, zones, topic)
            REBUILDS.labels("all" if made.anew else "missed").inc()
            REBUILD_SECONDS.set(made.seconds)
            log.info("folded %d events of %d users in %.1f s", made.events, made.users, made.seconds)
            position = made.position
        files = live_files.live_files(zones)
        known = lake.catalogue(config, zones, files)
        offsets = {partition: position.offsets.get(partition, 0) for partition in topic.partitions}
        log.info("processing incarnation %s from offsets %s", topic.incarnation, offsets)
        client = topics.consumer(settings, offsets, FETCH_WAIT_MS)
        try:
            _go_back(client, offsets, live_files.ends(files).get(topic.incarnation, {}))
            while not stop.is_set() and watch.reason is None:
                records = [record for batch in client.poll(timeout_ms=POLL_MS).values() for record in batch]
                if records:
                    position = step(store, position, records, known, config)
                elif store.position() != position:
                    raise FencedError("a rebuild was asked for, or the online store lost what it held")
                LAG.set(_lag(client))
            if watch.reason:
                log.warning("starting over: %s", watch.reason)
        finally:
            client.close(autocommit=False, timeout_ms=1000)


def step(store: OnlineStore, position: Position, records: list[Any], catalogue: Catalogue, config: Config) -> Position:
    """Fold one polled batch in and state what became of it; the new position.

    Of records before the position only the updates of items are taken in.
    """
    folded = [record for record in records if record.offset < position.offsets.get(record.partition, 0)]
    updates.learn((record.value for record in folded), catalogue)
    records = [record for record in records if record.offset >= position.offsets.get(record.partition, 0)]
    if not records:
        return position
    values, partitions = [record.value for record in records], [record.partition for record in records]
    batch, items, passed = updates.foldable(values, catalogue, partitions)
    offsets: dict[int, int] = {}
    for record in records:
        offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
    users = list(dict.fromkeys(update.user_id for update in batch))
    position, changes = store.advance(
        position, offsets, users, lambda states: updates.apply(states, batch, config.features, position.newest), items
    )
    now_ms = time.time() * 1000
    for record in records:
        LATENCY.observe(max(0.0, now_ms - record.timestamp) / 1000)
    for outcome, count in (passed + changes.outcomes).items():
        EVENTS.labels(outcome).inc(count)
    LATE_COUNTS.inc(sum(added.late for added in changes.counted.values()))
    return position


def _go_back(client: Any, offsets: Mapping[int, int], written: Mapping[int, int]) -> None:
    """Let the consumer begin where the lake ends, before ``offsets``: of what lies between, updates are read again.

    What the broker gave up before it was folded in is said and counted.
    """
    earliest = client.beginning_offsets(list(client.assignment()))
    for place, first in earliest.items():
        gone = first - offsets[place.partition]
        if gone > 0:
            LOST.inc(gone)
            log.error(
                "partition %d: the broker no longer holds %d records from offset %d on; what the lake has of them is "
                "folded in by: python -m streaming rebuild CONFIG --force",
                *(place.partition, gone, offsets[place.partition]),
            )
            client.seek(place, first)
        start = max(first, written.get(place.partition, 0))
        if start < offsets[place.partition]:
            client.seek(place, start)


def _check(store: OnlineStore) -> str | None:
    """Keep the lease; a reason to start over when it is lost or a rebuild was asked for."""
    try:
        if not store.lease():
            return "another processor took the lease"
    except RedisError as error:
        log.warning("the online store does not answer: %s", error)
    return None


def _lag(client: Any) -> int:
    """Records between the positions and the high watermarks of the last fetches (the broker's end offsets lie)."""
    waiting = 0
    for place in client.assignment():
        highwater = client.highwater(place)
        if highwater is not None:
            waiting += max(0, highwater - client.position(place))
    return waiting
