"""The topics of events and of impressions, and how a broker that forgot is noticed.

A topic's incarnation is its Kafka topic id (KIP-516: a UUID that the broker gives at creation and never again).
Offsets are only good within one incarnation: the embedded broker keeps its topics in memory, and after its restart a
consumer at offset 500 would wait for 500 new events. Who stores an offset stores the incarnation beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.structs import TopicPartition

from contracts.errors import StackError
from contracts.live_files import EVENTS, IMPRESSIONS
from streaming.settings import StreamSettings

__all__ = ["EVENTS", "IMPRESSIONS", "Topic", "consumer", "current", "delete", "ensure"]

log = logging.getLogger(__name__)

#: A broker on the same machine or network answers within milliseconds; a frozen one must not hold us longer than this.
TIMEOUT_MS = 2000


@dataclasses.dataclass(frozen=True)
class Topic:
    """The topic as the broker has it now.

    Attributes:
        incarnation: the topic id, 32 hex digits.
        partitions: their numbers.
    """

    incarnation: str
    partitions: tuple[int, ...]


def ensure(settings: StreamSettings, name: str = EVENTS) -> Topic:
    """The topic, created when the broker has none.

    Raises:
        StackError: when the broker does not answer.
    """
    with _admin(settings) as admin:
        found = _described(admin, name)
        if found is None:
            with contextlib.suppress(TopicAlreadyExistsError):  # another process was faster: its topic is as good
                admin.create_topics({name: {"num_partitions": settings.partitions, "replication_factor": 1}})
            found = _described(admin, name)
    if found is None:
        raise StackError(f"the broker at {settings.kafka} says that topic {name!r} is there, but gives it no id")
    return found


def current(settings: StreamSettings, name: str = EVENTS) -> Topic | None:
    """The topic as it is, or None when the broker has none; creates nothing.

    Raises:
        StackError: when the broker does not answer.
    """
    with _admin(settings) as admin:
        return _described(admin, name)


def delete(settings: StreamSettings, name: str) -> None:
    """Delete a topic with all that it holds.

    Raises:
        StackError: when the broker does not answer.
    """
    with _admin(settings) as admin:
        admin.delete_topics([name])


def consumer(settings: StreamSettings, offsets: Mapping[int, int], wait_ms: int, name: str = EVENTS) -> KafkaConsumer:
    """A consumer of the partitions in ``offsets``, standing at these offsets.

    Partitions are assigned by hand: a group's join costs half a session timeout (3 s) on the embedded broker, and
    offsets live with the data, not in the group.

    Args:
        settings: where the broker is.
        offsets: partition -> next offset.
        wait_ms: longest the broker may hold a fetch to fill it; 10 gives the freshest features.
        name: of the topic.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "fetch_max_wait_ms": wait_ms,
        "session_timeout_ms": 6000,
        "request_timeout_ms": TIMEOUT_MS * 2,
        "bootstrap_timeout_ms": TIMEOUT_MS,
        "reconnect_backoff_max_ms": 500,
        "max_poll_records": 2000,
    }
    client = KafkaConsumer(**options)
    assigned = {TopicPartition(name, partition): offset for partition, offset in offsets.items()}
    client.assign(list(assigned))
    for partition, offset in assigned.items():
        client.seek(partition, offset)
    return client


@contextlib.contextmanager
def _admin(settings: StreamSettings) -> Iterator[Any]:
    """A fresh admin client: one that lost its connection never finds the broker again."""
    options: dict[str, Any] = {"bootstrap_timeout_ms": TIMEOUT_MS, "request_timeout_ms": TIMEOUT_MS}
    try:
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka, **options)
        try:
            yield admin
        finally:
            admin.close()
    except KafkaError as error:
        raise StackError(f"the broker at {settings.kafka} does not answer: {error}; is it up?") from error


def _described(admin: Any, name: str) -> Topic | None:
    (found,) = admin.describe_topics([name])
    if found["error_code"] or not found["topic_id"]:
        return None
    return Topic(
        str(found["topic_id"]).replace("-", ""), tuple(sorted(p["partition_index"] for p in found["partitions"]))
    )
