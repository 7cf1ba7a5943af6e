"""A queue on disk: order, bounds, and what a killed process leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.publisher import Record
from streaming.spool import Spool

Opened = Callable[..., Spool]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Spools that are closed at the end."""
    spools: list[Spool] = []

    def open_spool(*settings: Any, **named: Any) -> Spool:
        spools.append(Spool(*settings, **named))
        return spools[-1]

    yield open_spool
    for spool in spools:
        spool.close()


def record(n: int, size: int = 10) -> Record:
    return Record(f"k{n}".encode(), f"{n}".encode().ljust(size))


def drain(spool: Spool, most: int = 1000) -> list[Record]:
    out: list[Record] = []
    while True:
        records, place = spool.read(most, 1 << 20, 0)
        if not records:
            return out
        spool.done(place, len(records))
        out += records


def test_records_come_out_in_order_across_segments_and_leave_nothing(tmp_path: Path, opened: Opened) -> None:
    spool = opened(tmp_path, segment_bytes=100)
    records = [record(n) for n in range(50)]
    for each in records:
        spool.append(each)
    assert len(list(tmp_path.glob("*.spool"))) > 5
    assert drain(spool, most=3) == records
    assert len(list(tmp_path.glob("*.spool"))) == 1, "only the segment that is written to is left"
    assert spool.dropped == 0


def test_what_is_not_done_is_read_again_and_by_the_next_process_too(tmp_path: Path, opened: Opened) -> None:
    spool = opened(tmp_path, segment_bytes=60)
    for n in range(10):
        spool.append(record(n))
    records, place = spool.read(1, 1000, 0)
    assert spool.read(1, 1000, 0)[0] == records == [record(0)]
    spool.done(place, 1)
    spool.close()
    after = opened(tmp_path, segment_bytes=60)
    after.append(record(10))
    assert drain(after) == [record(n) for n in range(1, 11)]
    assert drain(opened(tmp_path)) == [], "an empty spool stays empty, whatever number its segments have"
    last = opened(tmp_path)
    last.append(record(11))
    assert drain(last) == [record(11)]


def test_of_too_many_the_oldest_go_and_are_counted(tmp_path: Path, opened: Opened) -> None:
    spool = opened(tmp_path, max_bytes=1000, segment_bytes=200)
    for n in range(100):
        spool.append(record(n))
    assert spool.bytes <= 1000
    left = drain(spool)
    assert left == [record(n) for n in range(100 - len(left), 100)]
    assert len(left) > 20 and spool.dropped == 100 - len(left)


def test_what_was_dropped_while_it_was_published_does_not_put_the_reader_back(tmp_path: Path, opened: Opened) -> None:
    spool = opened(tmp_path, max_bytes=400, segment_bytes=100)
    spool.append(record(0))
    _, place = spool.read(10, 1000, 0)
    for n in range(1, 40):
        spool.append(record(n))
    spool.done(place, 1)
    left = drain(spool)
    assert left == [record(n) for n in range(40 - len(left), 40)]


@given(st.integers(0, 60))
def test_a_record_that_was_half_written_is_left_out_and_all_before_it_are_there(tmp_path_factory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    for n in range(3):
        spool.append(record(n))
    spool.close()
    (segment,) = folder.glob("*.spool")
    whole = segment.read_bytes()
    kept = len(whole) - min(cut, len(whole))
    segment.write_bytes(whole[:kept])
    frame = len(whole) // 3
    after = Spool(folder)
    assert after.damaged == (kept % frame > 0)
    assert drain(after) == [record(n) for n in range(kept // frame)]
    after.close()


def test_a_byte_that_changed_ends_its_segment_and_no_other(tmp_path: Path, opened: Opened) -> None:
    spool = opened(tmp_path, segment_bytes=60)
    for n in range(6):
        spool.append(record(n))
    spool.close()
    first = min(tmp_path.glob("*.spool"))
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    after = opened(tmp_path, segment_bytes=60)
    assert after.damaged == 1
    assert drain(after) == [record(0), *(record(n) for n in range(2, 6))]
