"""A queue of records on disk, bounded: what is taken in stays until the broker has it, or is the oldest of too many.

Records lie in segment files, one after the other, each as length, checksum, length of its key, key and value. A reader
goes through them in their order and says when what it has read is done; a file that is done goes away. The position is
a file of its own, replaced whole. After a kill -9 the records since the last position come a second time, and one that
was half written is left out; nothing is forced to the disk, so that a loss of power may take the last seconds.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from contracts.artifacts import read_json, write_json
from streaming.publisher import Record

#: The spool's most bytes, and a segment's: the oldest segment is what is dropped when there are too many.
MAX_BYTES = 256 * 2**20
SEGMENT_BYTES = 4 * 2**20

_FRAME = struct.Struct("<IIH")


class Place(NamedTuple):
    """Where a reader stands: before the byte ``offset`` of the segment ``number``."""

    number: int
    offset: int


class Spool:
    """One folder's queue, for one process: a thread that appends and one that reads."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES):
        """Goes on where the process before ended; ``damaged`` says in how many segments it ended within a record."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._max_bytes, self._segment_bytes = folder, max_bytes, segment_bytes
        self._changed = threading.Condition()
        #: Number -> end of the whole records of a segment, bytes; the last one is written to.
        self._ends: dict[int, int] = {}
        #: Number -> records of a segment.
        self._counts: dict[int, int] = {}
        self.damaged = 0
        self.dropped = 0
        self._recover()
        self._file: IO[bytes] = self._open(max(self._place.number, *self._ends, 0) + 1)

    @property
    def bytes(self) -> int:
        """What waits in it, bytes."""
        with self._changed:
            at = self._place
            return sum(end - (at.offset if n == at.number else 0) for n, end in self._ends.items() if n >= at.number)

    def append(self, record: Record) -> None:
        """Take a record in; of too many the oldest segment goes, and ``dropped`` counts what nobody had read of it."""
        rest = record.key + record.value
        frame = _FRAME.pack(len(rest), zlib.crc32(rest), len(record.key)) + rest
        with self._changed:
            number = max(self._ends)
            if self._ends[number] and self._ends[number] + len(frame) > self._segment_bytes:
                self._file.close()
                number += 1
                self._file = self._open(number)
            self._file.write(frame)
            self._file.flush()
            self._ends[number] += len(frame)
            self._counts[number] += 1
            while sum(self._ends.values()) > self._max_bytes and len(self._ends) > 1:
                self._drop_oldest()
            self._changed.notify()

    def read(self, most_records: int, most_bytes: int, wait_seconds: float) -> tuple[list[Record], Place]:
        """The next records that are not done yet, and the place after them; none when none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._beyond() is not None, wait_seconds)
            at = self._beyond()
            if at is None:
                return [], self._place
            records: list[Record] = []
            held, offset = 0, at.offset
            for record, size in _frames(self._path(at.number), at.offset, self._ends[at.number]):
                if len(records) == most_records or (records and held + size > most_bytes):
                    break
                records.append(record)
                held += size
                offset += size
            return records, Place(at.number, offset)

    def done(self, place: Place, records: int) -> None:
        """What was read up to ``place`` need not be read again; ``records`` is how many that were."""
        with self._changed:
            if place.number < min(self._ends):
                return  # it was dropped meanwhile, and counted as such: the broker has it all the same
            self._place = place
            self._counts[place.number] -= records
            write_json(str(self._folder / "position.json"), place._asdict())
            for number in [n for n in self._ends if n < place.number]:
                self._forget(number)
            if place.offset == self._ends[place.number] and place.number != max(self._ends):
                self._forget(place.number)

    def close(self) -> None:
        """End the open file."""
        with self._changed:
            self._file.close()

    def _beyond(self) -> Place | None:
        """Where the next record lies, or None when all are read."""
        for number in sorted(self._ends):
            if number > self._place.number and self._ends[number]:
                return Place(number, 0)
            if number == self._place.number and self._place.offset < self._ends[number]:
                return self._place
        return None

    def _recover(self) -> None:
        position = self._folder / "position.json"
        self._place = Place(**read_json(str(position))) if position.exists() else Place(0, 0)
        for path in sorted(self._folder.glob("*.spool")):
            number = int(path.stem)
            start = self._place.offset if number == self._place.number else 0
            sizes = [size for _, size in _frames(path, start, path.stat().st_size)]
            self._ends[number], self._counts[number] = start + sum(sizes), len(sizes)
            self.damaged += self._ends[number] < path.stat().st_size
            if number < self._place.number or not sizes:
                self._forget(number)

    def _open(self, number: int) -> IO[bytes]:
        self._ends[number] = self._counts[number] = 0
        return self._path(number).open("wb")

    def _drop_oldest(self) -> None:
        number = min(self._ends)
        self.dropped += self._counts[number]
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._path(number).unlink(missing_ok=True)
        del self._ends[number], self._counts[number]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}.spool"


def _frames(path: Path, start: int, end: int) -> Iterator[tuple[Record, int]]:
    """Records of a segment between two places, each with its size on disk; ends at one that is damaged."""
    with path.open("rb") as file:
        file.seek(start)
        while start + _FRAME.size <= end:
            size, checksum, key_size = _FRAME.unpack(file.read(_FRAME.size))
            rest = file.read(size) if start + _FRAME.size + size <= end else b""
            if len(rest) != size or zlib.crc32(rest) != checksum or key_size > size:
                return
            yield Record(rest[:key_size], rest[key_size:]), _FRAME.size + size
            start += _FRAME.size + size
