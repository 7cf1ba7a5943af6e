"""Merging live files keeps every record once, wherever it is interrupted."""

from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from streaming import lake
from streaming.compaction import compact
from streaming.lake_writer import Buffer, write
from tests.streaming.stack import Stack, click

TOPIC = "0123456789abcdef" * 2
HOUR_3, HOUR_4 = (datetime(2026, 2, 3, hour, 30, tzinfo=timezone.utc) for hour in (3, 4))


@pytest.fixture
def stack(tmp_path):
    return Stack.at(tmp_path)


def live(stack, partition, offsets, when=HOUR_3, topic=TOPIC):
    buffer = Buffer(partition, topic)
    buffer.rows += [(click("u", f"{topic[0]}{partition}-{offset}"), offset) for offset in offsets]
    return Path(write(stack.zones, buffer, when))


def records(stack):
    """Event ids in the order of the files that are shown."""
    return [
        row["event_id"] for file in lake.live_files(stack.zones) for row in pq.ParquetFile(file.path).read().to_pylist()
    ]


def ranges(stack):
    return [(file.partition, file.first, file.last) for file in lake.live_files(stack.zones)]


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


def test_a_crash_before_the_parts_went_hides_them_and_the_next_run_takes_them_away(stack):
    parts = [live(stack, 0, [0, 1]), live(stack, 0, [2, 3])]
    kept = [part.read_bytes() for part in parts]
    before = records(stack)
    compact(stack.zones, HOUR_4)
    for part, content in zip(parts, kept):
        part.write_bytes(content)
    assert records(stack) == before
    assert lake.ends(lake.live_files(stack.zones)) == {TOPIC: {0: 4}}
    assert compact(stack.zones, HOUR_4) == 2
    assert records(stack) == before and not any(part.exists() for part in parts)
