"""Every record of the topic lies in exactly one file of the lake, whatever is killed in between."""

import dataclasses
import random
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from kafka.structs import TopicPartition

from contracts import live_files
from contracts.events import validate
from streaming import lake, lake_writer, processor, quarantine, topics
from streaming.codec import encode
from streaming.compaction import compact
from streaming.lake_writer import Buffer, write
from streaming.publisher import Record
from streaming.quarantine import Refused
from tests.streaming.services import wait_until
from tests.streaming.stack import NOW, Stack, click, running

#: When an event happened that is written at ``WHEN``.
OLD, WHEN = 1_700_000_000_000, datetime(2026, 2, 3, 4, tzinfo=timezone.utc)
KILLS = 6
INCARNATION = "0123456789abcdef" * 2


def stored(stack):
    """``(incarnation, partition, offset) -> event id`` of all live files; fails on a record that is stored twice."""
    places = {}
    for file in live_files.live_files(stack.zones):
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
        (folder / live_files.live_name(partition, incarnation, first, last)).touch()
    (
        folder / (live_files.live_name(2, INCARNATION, 0, 7) + ".partial")
    ).touch()  # killed while it was written: does not count
    assert live_files.ends(live_files.live_files(stack.zones)) == {INCARNATION: {0: 12}, other: {1: 100}}
    assert live_files.ends([]) == {}


def held(stack):
    """``(source, offset) -> (reason, value)`` of all quarantined records; fails on one that is there twice."""
    places = {}
    for file in quarantine.files(stack.zones):
        table = pq.ParquetFile(file.path).read()
        assert table.schema == quarantine.SCHEMA
        for row in table.to_pylist():
            place = (row["source"], row["offset"])
            assert place not in places, f"{place} is stored twice"
            assert row["source"] == f"topic:events/p{file.partition}/{file.incarnation}"
            assert file.first <= row["offset"] <= file.last and row["rule"]
            places[place] = (row["reason"], row["value"])
    return places


def ends(stack):
    return live_files.ends(live_files.live_files(stack.zones))


def filled(*values, first=0):
    buffer = Buffer(0, INCARNATION)
    for offset, value in enumerate(values, first):
        buffer.take(offset, value)
    return buffer


def test_records_that_are_no_event_of_the_contract_go_to_quarantine_with_reason_source_offset_and_bytes(tmp_path):
    stack = Stack.at(tmp_path)
    event = click("u", "e", ago_ms=NOW - OLD)
    ahead = encode(dataclasses.replace(event, event_time=NOW))
    url = write(stack.zones, filled(b"nothing", encode(event), ahead, first=5), WHEN)
    name = f"p000-{INCARNATION}-000000000005-000000000007.parquet"
    assert Path(url).name == name
    assert [file.path for file in quarantine.files(stack.zones)] == [
        f"{stack.zones.quarantine}/live/day=2026-02-03/{name}"
    ]
    source = f"topic:events/p0/{INCARNATION}"
    assert held(stack) == {(source, 5): ("undecodable", b"nothing"), (source, 7): ("time_out_of_range", ahead)}
    assert stored(stack) == {(INCARNATION, 0, 6): "e"}


def test_a_flush_of_nothing_but_refused_records_moves_the_position_on(tmp_path):
    stack = Stack.at(tmp_path)
    write(stack.zones, filled(b"nothing", None, first=5), WHEN)
    assert stored(stack) == {} and len(held(stack)) == 2
    assert ends(stack) == {INCARNATION: {0: 7}}
    assert lake.beyond(live_files.live_files(stack.zones), {}, {}) == []  # readers of the lake take an empty file
    write(stack.zones, filled(encode(click("u", "e", ago_ms=NOW - OLD)), first=7), WHEN)
    later = WHEN + timedelta(days=1)
    assert compact(stack.zones, later) == 2 and ends(stack) == {INCARNATION: {0: 8}}


def test_a_crash_between_the_two_files_of_a_flush_leaves_nothing_that_counts(tmp_path, monkeypatch):
    stack = Stack.at(tmp_path)
    good = encode(click("u", "e", ago_ms=NOW - OLD))
    write(stack.zones, filled(b"first", good), WHEN)
    place = lake.place

    def crash_at_the_live_file(filesystem, path, table):
        if "/raw/" in path:
            raise OSError("killed")
        place(filesystem, path, table)

    monkeypatch.setattr(lake, "place", crash_at_the_live_file)
    with pytest.raises(OSError, match="killed"):
        write(stack.zones, filled(good, b"second", first=2), WHEN)
    monkeypatch.undo()
    assert ends(stack) == {INCARNATION: {0: 2}} and len(held(stack)) == 2
    written = ends(stack)[INCARNATION]
    assert quarantine.drop_unfinished(stack.zones, "f" * 32, {}) == 0  # another topic's
    assert quarantine.drop_unfinished(stack.zones, INCARNATION, written) == 1
    write(stack.zones, filled(good, b"second", good, b"third", first=2), WHEN)  # this time it reads more at once
    assert quarantine.drop_unfinished(stack.zones, INCARNATION, ends(stack)[INCARNATION]) == 0
    assert [offset for _, offset in held(stack)] == [0, 3, 5] and [*stored(stack)] == [
        (INCARNATION, 0, offset) for offset in (1, 2, 4)
    ]


def aged(stack):
    """Put all files into a past hour and day, as time would: the next start merges them."""
    for folder, past in (
        (Path(stack.zones.raw) / "live", "day=2026-02-03/hour=04"),
        (Path(stack.zones.quarantine) / "live", "day=2026-02-03"),
    ):
        (folder / past).mkdir(parents=True, exist_ok=True)
        for file in list(folder.rglob("*.parquet*")):
            file.rename(folder / past / file.name)


def mixed(count):
    """Good events, and among them events that break the contract and bytes that are none; and which are which."""
    good, bad, records = [], [], []
    for n in range(count):
        event = click(f"u{n % 97}", f"e{n}")
        value = encode(event)
        if n % 41 == 0:
            value = b"\0\0\0\0\x09 no event %d" % n
        elif n % 59 == 0:
            value = encode(dataclasses.replace(event, quantity=1000 + n))
        records.append(Record((event.user_id or "").encode(), value))
        if n % 41 == 0 or n % 59 == 0:
            bad.append(("undecodable" if n % 41 == 0 else "quantity_out_of_range", value))
        else:
            good.append(event.event_id)
    return records, good, bad


@pytest.mark.integration
def test_kill_9_and_sigterm_keep_every_record_exactly_once_as_an_event_or_in_quarantine(stack):
    stack.fill()
    records, good, bad = mixed(20_000)
    writer, chance = stack.process("lake", "--flush-seconds", "0.2"), random.Random(7)
    topic = topics.ensure(stack.settings)

    # What a writer leaves that was killed before its live file: those records are in no file.
    left = [Refused(0, "undecodable", "read by a writer that was killed", b"left")]
    quarantine.write(
        stack.zones, live_files.live_name(0, topic.incarnation, 0, 99_999), 0, topic.incarnation, left, WHEN
    )

    def position():
        return sum(ends(stack).get(topic.incarnation, {}).values())

    with running(writer):
        for kill in range(KILLS):
            reached, part = position(), records[kill * len(records) // KILLS : (kill + 1) * len(records) // KILLS]
            sender = threading.Thread(target=stack.send, args=(part, 0.02))
            sender.start()
            if kill % 2 == 0:  # else it has just started, and is merging
                wait_until(lambda reached=reached: position() > reached + 300, 60, "records in the lake")
            time.sleep(chance.uniform(0, 0.3))
            writer.kill()
            aged(stack)
            writer.start()
            sender.join()
        wait_until(lambda: position() == len(records), 60, "all records")
        stack.publish([click("u", "last")])
        assert writer.stop() == 0  # SIGTERM writes what is buffered; what was not read yet, the next start reads
        writer.start()
        wait_until(lambda: position() == len(records) + 1, 60, "the last record")
        assert writer.stop() == 0
    assert_each_once(stack, topic, [*good, "last"], bad)
    aged(stack)
    with running(writer):
        wait_until(
            lambda: len(live_files.all_live_files(stack.zones)) == len(topic.partitions), 30, "merged live files"
        )
        wait_until(lambda: len(quarantine.files(stack.zones)) == len(topic.partitions), 30, "merged quarantine files")
    assert_each_once(stack, topic, [*good, "last"], bad)


def assert_each_once(stack, topic, good, bad):
    """Every offset of the topic is one event of the lake or one record in quarantine, and they are what was sent."""
    events, refused = stored(stack), held(stack)
    assert Counter(events.values()) == Counter(good)
    assert Counter(refused.values()) == Counter(bad)
    places = [(partition, offset) for _, partition, offset in events]
    places += [(int(source.split("/")[1][1:]), offset) for source, offset in refused]
    expected = [(partition, n) for partition, end in ends(stack)[topic.incarnation].items() for n in range(end)]
    assert sorted(places) == sorted(expected) and len(places) == len(good) + len(bad)


class _Forgetful:
    """A consumer whose broker holds less than it once did."""

    def __init__(self, earliest: dict[int, int]):
        self.earliest = {TopicPartition("events", partition): offset for partition, offset in earliest.items()}
        self.sought: dict[int, int] = {}

    def assignment(self) -> set[TopicPartition]:
        return set(self.earliest)

    def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.earliest[place] for place in places}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought[place.partition] = offset


@pytest.mark.parametrize("reader", ["lake", "processor"])
def test_a_reader_behind_what_the_broker_still_holds_says_so_and_counts_it(
    reader: str, caplog: pytest.LogCaptureFixture
) -> None:
    client, offsets = _Forgetful({0: 40, 1: 7}), {0: 10, 1: 7}
    lost = lake_writer.LOST.labels("events") if reader == "lake" else processor.LOST
    before = lost._value.get()
    if reader == "lake":
        lake_writer._skip_what_is_gone(client, offsets, "events")
    else:
        processor._go_back(client, offsets, {0: 10, 1: 7})
    assert client.sought == {0: 40}
    assert lost._value.get() - before == 30
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "partition 0" in caplog.text and "no longer holds" in caplog.text
