"""Merging live files keeps every record once, wherever it is interrupted."""

from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts import live_files
from streaming import quarantine
from streaming.codec import encode
from streaming.compaction import compact
from streaming.lake_writer import Buffer, write
from tests.streaming.stack import NOW, Stack, click

TOPIC = "0123456789abcdef" * 2
#: When the events happened: before the hours at which they are written here.
OLD = 1_700_000_000_000
HOUR_3, HOUR_4 = (datetime(2026, 2, 3, hour, 30, tzinfo=timezone.utc) for hour in (3, 4))


@pytest.fixture
def stack(tmp_path):
    return Stack.at(tmp_path)


def live(stack, partition, offsets, when=HOUR_3, topic=TOPIC, bad=()):
    buffer = Buffer(partition, topic)
    for offset in offsets:
        buffer.take(offset, encode(click("u", f"{topic[0]}{partition}-{offset}", ago_ms=NOW - OLD)))
    for offset in bad:
        buffer.take(offset, b"no event")
    return Path(write(stack.zones, buffer, when))


def refused(stack):
    """``(source, offset)`` of the quarantined records, in the order of the files that are shown."""
    rows = [row for file in quarantine.files(stack.zones) for row in pq.ParquetFile(file.path).read().to_pylist()]
    return [(row["source"], row["offset"]) for row in rows]


def records(stack):
    """Event ids in the order of the files that are shown."""
    return [
        row["event_id"]
        for file in live_files.live_files(stack.zones)
        for row in pq.ParquetFile(file.path).read().to_pylist()
    ]


def ranges(stack):
    return [(file.partition, file.first, file.last) for file in live_files.live_files(stack.zones)]


def test_files_of_a_past_hour_become_one_for_each_partition(stack):
    for first in (0, 3, 6):
        live(stack, 0, range(first, first + 3))
        live(stack, 1, range(first, first + 3))
    live(stack, 0, range(9, 12), HOUR_4)
    live(stack, 0, range(12, 15), HOUR_4)
    before = records(stack)
    assert compact(stack.zones, HOUR_4) == 6
    assert ranges(stack) == [(0, 0, 8), (0, 9, 11), (0, 12, 14), (1, 0, 8)]
    assert records(stack) == before
    assert compact(stack.zones, HOUR_4) == 0


def test_other_topics_and_gaps_are_not_merged_over(stack):
    live(stack, 0, [0, 1])
    live(stack, 0, [2, 3], topic="f" * 32)
    live(stack, 0, [5, 6])  # 2 to 4 may lie in another hour's file, if the clock was set back
    live(stack, 0, [2, 3, 4], HOUR_4)
    before = records(stack)
    compact(stack.zones, HOUR_4)
    assert records(stack) == before and len(ranges(stack)) == 4


def test_quarantined_records_become_one_file_a_day_across_flushes_that_had_none(stack):
    """Their flushes leave gaps, which hold nothing: the live files of the same ranges say so."""
    for first in (0, 10, 30):
        live(stack, 0, range(first, first + 3), bad=[first + 3])
    live(stack, 1, [0], bad=[1])
    live(stack, 0, [50], datetime(2026, 2, 4, 3, tzinfo=timezone.utc), bad=[51])
    before = refused(stack)
    assert compact(stack.zones, datetime(2026, 2, 3, 23, tzinfo=timezone.utc)) == 3  # the live files of the hour
    assert compact(stack.zones, datetime(2026, 2, 4, 3, tzinfo=timezone.utc)) == 3
    assert refused(stack) == before and len(before) == 5
    files = [(file.partition, file.first, file.last) for file in quarantine.files(stack.zones)]
    assert files == [(0, 0, 33), (0, 50, 51), (1, 0, 1)]
    assert (
        quarantine.drop_unfinished(stack.zones, TOPIC, live_files.ends(live_files.live_files(stack.zones))[TOPIC]) == 0
    )


def test_a_crash_before_the_parts_went_hides_them_and_the_next_run_takes_them_away(stack):
    parts = [live(stack, 0, [0, 1]), live(stack, 0, [2, 3])]
    kept = [part.read_bytes() for part in parts]
    before = records(stack)
    compact(stack.zones, HOUR_4)
    for part, content in zip(parts, kept):
        part.write_bytes(content)
    assert records(stack) == before
    assert live_files.ends(live_files.live_files(stack.zones)) == {TOPIC: {0: 4}}
    assert compact(stack.zones, HOUR_4) == 2
    assert records(stack) == before and not any(part.exists() for part in parts)
