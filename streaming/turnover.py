"""The topic of impressions in a broker that keeps everything: made anew when it is full, once the lake has all of it.

The embedded broker has no retention: it keeps no setting of a topic, and panics when it is asked to delete records. It
can delete a topic, which frees the memory. A new topic is a new incarnation: the lake writer begins it at its
start, and files of both lie side by side. While the lake writer is behind nothing is deleted and nothing published: the
spool takes what comes, up to its own bound, and counts what it drops.
"""

from __future__ import annotations

import logging
import time

from kafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from contracts import live_files
from contracts.artifacts import Zones
from contracts.errors import StackError
from streaming import topics
from streaming.publisher import Publisher
from streaming.settings import StreamSettings
from streaming.topics import Topic

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
#: A broker says within this what a topic holds.
_POLL_SECONDS = 2.0

HELD = Gauge("trireme_impressions_topic_records", "Impressions that the broker keeps; known where they are bounded.")
TURNED = Counter("trireme_impressions_topic_turnovers", "Times that the full topic was made anew.")
WAITS = Gauge("trireme_impressions_topic_waits", "1 while a full topic waits for the lake writer, and nothing is sent.")


class Turnover:
    """For the only process that publishes to the topic, between two of its batches.

    Args:
        settings: where the broker is; ``impressions_kept`` is how many records make the topic full, 0 for never.
        zones: where the lake is.
        publisher: its producer is closed before the topic is.
    """

    def __init__(self, settings: StreamSettings, zones: Zones, publisher: Publisher):
        self._settings, self._zones, self._publisher = settings, zones, publisher
        self._room, self._next_look = True, 0.0
        WAITS.set(0)

    def room(self) -> bool:
        """Whether a batch may be published; looked up every two seconds; as before when the broker does not answer."""
        if self._settings.impressions_kept and time.monotonic() >= self._next_look:
            try:
                self._room = self._look()
            except (KafkaError, StackError) as error:
                log.warning("the size of the topic is not known: %s", error)
            self._next_look = time.monotonic() + LOOK_SECONDS
        return self._room

    def _look(self) -> bool:
        topic = topics.current(self._settings, topics.IMPRESSIONS)
        if topic is None:
            return True
        ends = _ends(self._settings, topic)
        held = sum(ends.values())
        HELD.set(held)
        full = held >= self._settings.impressions_kept
        behind = full and self._written(topic.incarnation) != {place: end for place, end in ends.items() if end}
        if behind and self._room:
            log.info("the topic of impressions is full (%d records): others wait for the lake writer", held)
        WAITS.set(behind)
        if full and not behind:
            self._publisher.close()
            topics.delete(self._settings, topics.IMPRESSIONS)
            TURNED.inc()
            log.info("the topic of impressions was full (%d records, all in the lake) and is made anew", held)
        return not behind

    def _written(self, incarnation: str) -> dict[int, int]:
        """Partition -> the offset up to which the lake's files hold its records."""
        files = live_files.live_files(self._zones, topics.IMPRESSIONS)
        return dict(live_files.ends(files).get(incarnation, {}))


def _ends(settings: StreamSettings, topic: Topic) -> dict[int, int]:
    """Partition -> the offset after its last record: the high watermark, for the embedded broker's end offsets lie."""
    client = topics.consumer(settings, dict.fromkeys(topic.partitions, 0), 10, topics.IMPRESSIONS)
    try:
        places = list(client.assignment())
        # They lie by a part of the last batch: that is all that is read.
        for place, offset in client.end_offsets(places).items():
            client.seek(place, offset)
        deadline = time.monotonic() + _POLL_SECONDS
        while any(client.highwater(place) is None for place in places):
            if time.monotonic() > deadline:
                raise StackError(f"the broker does not say within {_POLL_SECONDS} s what {topics.IMPRESSIONS} holds")
            client.poll(timeout_ms=100)
        return {place.partition: client.highwater(place) or 0 for place in places}
    finally:
        client.close(autocommit=False, timeout_ms=1000)
