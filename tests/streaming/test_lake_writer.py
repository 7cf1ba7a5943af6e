"""Every record of the topic lies in exactly one file of the lake, whatever is killed in between."""

import threading
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.events import validate
from streaming import lake, topics
from streaming.codec import encode
from streaming.lake_writer import Buffer, write
from tests.streaming.services import wait_until
from tests.streaming.stack import NOW, Stack, click, running

#: When an event happened that is written at ``WHEN``.
OLD, WHEN = 1_700_000_000_000, datetime(2026, 2, 3, 4, tzinfo=timezone.utc)
INCARNATION = "0123456789abcdef" * 2


def stored(stack):
    """``(incarnation, partition, offset) -> event id`` of all live files; fails on a record that is stored twice."""
    places = {}
    for file in lake.live_files(stack.zones):
        for row in pq.ParquetFile(file.path).read().to_pylist():
            place = (row["incarnation"], row["partition"], row["offset"])
            assert place not in places, f"{place} is stored twice"
            assert (row["incarnation"], row["partition"]) == (file.incarnation, file.partition)
            assert file.first <= row["offset"] <= file.last
            places[place] = row["event_id"]
    return places


def test_a_live_file_holds_the_whole_event_and_says_so_in_its_name(tmp_path):
    stack = Stack.at(tmp_path)
    event = validate(
        {"event_id": "a", "event_type": "user_update", "event_time": OLD, "user_id": "u", "attributes": {"k": "v"}}, NOW
    )
    buffer = Buffer(3, INCARNATION)
    buffer.take(17, encode(event))
    buffer.take(19, encode(click("u", "b", ago_ms=NOW - OLD)))
    url = write(stack.zones, buffer, WHEN)
    assert url.endswith(f"raw/live/day=2026-02-03/hour=04/p003-{INCARNATION}-000000000017-000000000019.parquet")
    first, second = pq.ParquetFile(url).read().to_pylist()
    assert dict(first.pop("attributes")) == {"k": "v"}
    assert first == {
        **{name: value for name, value in event.to_dict().items() if name != "attributes"},
        "partition": 3,
        "offset": 17,
        "incarnation": INCARNATION,
    }
    assert (second["event_id"], second["attributes"], second["offset"]) == ("b", None, 19)
    assert buffer.offsets == []


def test_where_to_go_on_follows_from_the_names_alone(tmp_path):
    stack = Stack.at(tmp_path)
    folder = Path(stack.zones.raw) / "live/day=2026-02-03/hour=04"
    folder.mkdir(parents=True)
    other = "f" * 32
    for partition, incarnation, first, last in ((0, INCARNATION, 0, 4), (0, INCARNATION, 5, 11), (1, other, 0, 99)):
        (folder / lake.live_name(partition, incarnation, first, last)).touch()
    (
        folder / (lake.live_name(2, INCARNATION, 0, 7) + ".partial")
    ).touch()  # killed while it was written: does not count
    assert lake.ends(lake.live_files(stack.zones)) == {INCARNATION: {0: 12}, other: {1: 100}}
    assert lake.ends([]) == {}


@pytest.mark.integration
def test_kill_9_and_sigterm_store_every_record_exactly_once(stack):
    stack.fill()
    writer = stack.process("lake", "--flush-seconds", "0.3")
    sent = [click(f"u{n % 17}", f"e{n}") for n in range(3000)]
    done = threading.Event()

    def publish():
        stack.publish(sent, pause=0.1)
        done.set()

    topics.ensure(stack.settings)
    thread = threading.Thread(target=publish)
    with running(writer):
        thread.start()
        for _ in range(3):
            held = len(stored(stack))
            wait_until(lambda held=held: len(stored(stack)) > held + 50 or done.is_set(), 30, "records in the lake")
            writer.kill()
            writer.start()
        thread.join()
        wait_until(lambda: len(stored(stack)) == 3000, 20, "all 3,000 records")
        stack.publish([click("u", "last")])
        assert writer.stop() == 0  # SIGTERM writes what is buffered, before the flush is due
    assert Counter(stored(stack).values()) == Counter([*(f"e{n}" for n in range(3000)), "last"])
