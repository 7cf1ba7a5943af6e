"""Impressions from servers to the lake: each once, in order, through a frozen broker and kill -9."""

from __future__ import annotations

import socket

import numpy as np
import pyarrow.parquet as pq
import pytest

from contracts import live_files
from contracts.impressions import FIELDS, encode
from contracts.live_files import IMPRESSIONS
from streaming import quarantine, topics
from streaming.codec import ImpressionCodec, UndecodableError
from streaming.publisher import Publisher, Record
from streaming.registry import Files
from streaming.schemas import IMPRESSIONS as SUBJECT
from tests.streaming.services import wait_until
from tests.streaming.stack import Stack, running

_EMPTY = {"string": "", "long": 0, "int": 0, "map": {}, "strings": [], "floats": np.zeros(0), "ints": np.zeros(0)}


def impression(request: str, user: str = "u", items: int = 2, **fields: object) -> bytes:
    shown = {
        "item_ids": [f"i{n}" for n in range(items)],
        "sources": ["personal"] * items,
        "scores": np.arange(items),
        "probabilities": np.full(items, 0.5),
        "continuous_columns": ["a", "b"],
        "continuous": np.arange(2 * items),
    }
    empty = {field.name: _EMPTY[field.kind] for field in FIELDS}
    return encode({**empty, **shown, "request_id": request, "user_id": user, "skipped": {"ranker": "late"}, **fields})


@pytest.fixture(scope="module")
def codec() -> ImpressionCodec:
    return ImpressionCodec(Files(subject=SUBJECT))


def test_what_a_server_sends_is_what_the_topic_holds(codec: ImpressionCodec) -> None:
    data = impression("r", as_of=17)
    document, value = codec.served(data)
    assert value == data and document["as_of"] == 17 and codec.decode(value) == document


@pytest.mark.parametrize(
    "data",
    [b"", b"no", impression("r")[:-3], impression("r") + b"x", impression(""), impression("r", scores=np.zeros(5)),
     b"\0\0\0\0\x63" + impression("r")[5:]],
)  # fmt: skip
def test_what_is_no_impression_is_refused(codec: ImpressionCodec, data: bytes) -> None:
    with pytest.raises(UndecodableError):
        codec.served(data)


def stored(stack: Stack) -> list[dict]:
    """All impressions of the lake in the order of partitions and offsets; fails on a record that is stored twice."""
    rows, places = [], set()
    for file in live_files.live_files(stack.zones, IMPRESSIONS):
        for row in pq.ParquetFile(file.path).read().to_pylist():
            place = (row["incarnation"], row["partition"], row["offset"])
            assert place not in places
            places.add(place)
            rows.append(row)
    return rows


@pytest.fixture
def server(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    """A way to send what a server sends."""
    stack.environ["TRIREME_IMPRESSIONS"] = str(stack.folder / "impressions.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:

        def send(*records: bytes) -> None:
            for record in records:
                sender.sendto(record, stack.environ["TRIREME_IMPRESSIONS"])

        yield send


@pytest.mark.integration
def test_each_is_in_the_lake_through_a_frozen_broker_and_kill_9(stack: Stack, server) -> None:
    publisher, lake = stack.process("impressions"), stack.process("lake", "--flush-seconds", "0.2")
    taken = "trireme_impressions_received_total"
    ids = [f"r{n}" for n in range(300)]
    with running(publisher, lake):
        server(*(impression(each, f"u{n % 5}") for n, each in enumerate(ids[:100])))
        wait_until(lambda: len(stored(stack)) == 100, 30, "the first in the lake")
        stack.broker.send(19)  # SIGSTOP: the broker hangs
        try:
            server(*(impression(each, f"u{n % 5}") for n, each in enumerate(ids[100:200])))
            wait_until(lambda: stack.metrics("impressions")[taken] == 200, 10, "what waits on disk")
            publisher.kill()
            publisher.start()
            server(*(impression(each, f"u{n % 5}") for n, each in enumerate(ids[200:])), b"nonsense")
            wait_until(lambda: stack.metrics("impressions")[taken] == 100, 10, "what came after the kill")
            assert stack.metrics("impressions")["trireme_impressions_spool_bytes"] > 0
        finally:
            stack.broker.send(18)  # SIGCONT
        wait_until(lambda: {row["request_id"] for row in stored(stack)} == set(ids), 60, "all in the lake")
        figures = stack.metrics("impressions")
        assert figures["trireme_impressions_refused_total"] == 1
        assert figures["trireme_impressions_spool_dropped_total"] == 0
        wait_until(lambda: stack.metrics("impressions")["trireme_impressions_spool_bytes"] == 0, 5, "an empty spool")
    rows = {row["request_id"]: row for row in stored(stack)}
    assert rows["r7"]["continuous"] == [0, 1, 2, 3] and rows["r7"]["item_ids"] == ["i0", "i1"]
    assert dict(rows["r7"]["skipped"]) == {"ranker": "late"}
    for user in range(5):  # by key: a user's impressions lie in one partition, in their order at first sight
        own = list(dict.fromkeys(row["request_id"] for row in stored(stack) if row["user_id"] == f"u{user}"))
        assert own == [each for n, each in enumerate(ids) if n % 100 % 5 == user]


@pytest.mark.integration
def test_a_full_topic_waits_for_the_lake_and_is_made_anew_and_nothing_is_lost(stack: Stack, server) -> None:
    stack.environ["TRIREME_IMPRESSIONS_KEPT"] = "100"
    publisher, lake = stack.process("impressions"), stack.process("lake", "--flush-seconds", "0.2")
    ids = [f"full-{n}" for n in range(400)]

    def figure(name: str) -> float:
        return stack.metrics("impressions")[f"trireme_impressions_{name}"]

    def in_the_lake() -> list[str]:
        return [row["request_id"] for row in stored(stack) if row["request_id"].startswith("full")]

    with running(publisher):
        server(*(impression(each, f"u{n % 5}") for n, each in enumerate(ids[:200])))
        wait_until(lambda: figure("topic_waits") == 1, 15, "a full topic")
        before = topics.current(stack.settings, topics.IMPRESSIONS)
        server(*(impression(each, f"u{n % 5}") for n, each in enumerate(ids[200:])))
        wait_until(lambda: figure("received_total") == 400, 5, "all that was sent")
        assert figure("spool_bytes") > 0, "what came since waits on disk"
        with running(lake):
            wait_until(lambda: figure("topic_turnovers_total") >= 1 and len(in_the_lake()) == 400, 30, "the rest")
        assert figure("spool_dropped_total") == 0
    after = topics.current(stack.settings, topics.IMPRESSIONS)
    assert before and before != after
    assert sorted(in_the_lake()) == sorted(ids), "each once"


@pytest.mark.integration
def test_a_record_of_the_topic_that_is_no_impression_is_kept_in_quarantine(stack: Stack) -> None:
    publisher = Publisher(stack.settings, 5, topics.IMPRESSIONS)
    publisher.publish([Record(b"u", b"nonsense"), Record(b"u", impression("good"))])
    publisher.close()
    with running(stack.process("lake", "--flush-seconds", "0.2")):
        wait_until(lambda: any(row["request_id"] == "good" for row in stored(stack)), 30, "the good one")
    (file,) = quarantine.files(stack.zones, IMPRESSIONS)
    (row,) = pq.ParquetFile(file.path).read().to_pylist()
    assert (row["reason"], row["value"]) == ("undecodable", b"nonsense")
    assert row["source"].startswith("topic:impressions/p")


@pytest.mark.integration
def test_a_second_publisher_does_not_take_the_socket(stack: Stack, server) -> None:
    first = stack.process("impressions")
    with running(first):
        second = stack.process("impressions")
        second.start(wait=False)
        assert second.popen is not None and second.popen.wait(20) == 1
        second.popen = None
        assert "another process listens" in second.log.read_text()
        server(impression("still"))
        published = "trireme_impressions_published_total"
        wait_until(lambda: stack.metrics("impressions")[published] == 1, 10, "the first, whose spool is its own")
