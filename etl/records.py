"""Records of a text file by piece: where they begin, their bytes, and which of them are no text.

A file is looked through once, for line ends only, so that every piece can be read from its own bytes and parsed once;
memory is bounded by the piece, however long the file. A compressed file cannot be entered in its middle: a reader goes
on from where the last piece of its thread ended.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa

from contracts.errors import ArtifactError

BLOCK_BYTES = 16 << 20
#: A piece ends here, however few its rows: one cell may hold 10 MB.
PIECE_BYTES = 128 << 20
#: A line longer than this is no line.
RECORD_BYTES = 256 << 20
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_BOM = b"\xef\xbb\xbf"
_NEWLINE, _RETURN = 10, 13
_OPEN = threading.local()


class Span(NamedTuple):
    """Rows ``start`` to ``stop`` (blank lines are none) lie in the bytes ``begin`` to ``end`` of the unpacked file."""

    start: int
    stop: int
    begin: int
    end: int


def codec(file: str) -> str:
    """How a file is compressed, by its name; "" where it is not."""
    return next((kind for suffix, kind in _CODECS.items() if file.endswith(suffix)), "")


def plain_name(file: str) -> str:
    """The name of a file without what says how it is compressed."""
    return next((file[: -len(suffix)] for suffix in _CODECS if file.endswith(suffix)), file)


@contextlib.contextmanager
def unpacked(file: str) -> Iterator[Any]:
    """A stream of a file's bytes, unpacked."""
    stream = _stream(file)
    try:
        yield stream
    finally:
        stream.close()


def first(file: str, quote: int | None, least: int) -> tuple[bytes, int]:
    """The first records of a file, ``least`` bytes and the rest of the last, and where they begin (after a BOM)."""
    with unpacked(file) as stream:
        data = bytes(stream.read(least))
        begin = len(_BOM) if data.startswith(_BOM) else 0
        while len(data) < RECORD_BYTES:
            ends = _ends(np.frombuffer(data, np.uint8), quote)
            more = b"" if len(ends) else bytes(stream.read(BLOCK_BYTES))
            if not more:
                # A file without a line end is one record; else what follows the last line end was cut short.
                return data[begin : ends[-1] if len(data) >= least and len(ends) else None], begin
            data += more
    raise ArtifactError(f"{file}: its first line is longer than {RECORD_BYTES >> 20} MiB; is it text?")


def spans(file: str, quote: int | None, begin: int, rows: int) -> list[Span]:
    """The records from byte ``begin`` on, cut into spans of at most ``rows`` rows and about ``PIECE_BYTES`` bytes.

    Args:
        file: an fsspec URL.
        quote: the byte within whose pairs a line end ends no record; None where every line end does.
        begin: where the first record begins.
        rows: most rows of a span.
    """
    out: list[Span] = []
    start = row = 0
    left, at = b"", begin
    with unpacked(file) as stream:
        _skip(stream, begin)
        while True:
            block = bytes(stream.read(BLOCK_BYTES))
            data = np.frombuffer(left + block, np.uint8)
            ends = _ends(data, quote)
            if not block and len(data) and (not len(ends) or ends[-1] < len(data)):
                ends = np.append(ends, len(data))
            ends = _filled(data, ends)[1]
            place = 0
            while place < len(ends):
                take = min(rows - (row - start), len(ends) - place)
                fitting = int(np.searchsorted(ends, begin + PIECE_BYTES - at, side="right")) - place
                take = max(1, min(take, fitting))
                place, row = place + take, row + take
                end = at + int(ends[place - 1])
                if row - start == rows or end - begin >= PIECE_BYTES:
                    out.append(Span(start, row, begin, end))
                    start, begin = row, end
            if not block:
                break
            used = int(ends[-1]) if len(ends) else 0
            left, at = data[used:].tobytes(), at + used
            if len(left) > RECORD_BYTES:
                raise ArtifactError(
                    f"{file}: row {row + 1} is longer than {RECORD_BYTES >> 20} MiB; "
                    f"{'a quote is never closed' if quote else 'is it text?'}"
                )
    if row > start:
        out.append(Span(start, row, begin, at + (int(ends[-1]) if len(ends) else 0)))
    return out


def read(file: str, span: Span) -> bytes:
    """The bytes of a span."""
    if not codec(file):
        filesystem, path = fsspec.core.url_to_fs(file)
        return filesystem.cat_file(path, start=span.begin, end=span.end)
    filesystem, path = fsspec.core.url_to_fs(file)
    key = (file, filesystem.checksum(path))
    held, _OPEN.held = getattr(_OPEN, "held", None), None  # nobody goes on from where a read failed
    if held is None or held[0] != key or held[2] > span.begin:
        if held is not None:
            held[1].close()
        held = (key, _stream(file), 0)
    _skip(held[1], span.begin - held[2])
    data = bytes(held[1].read(span.end - span.begin))
    _OPEN.held = (key, held[1], span.end)
    return data


def rows(data: bytes, quote: int | None) -> tuple[np.ndarray, np.ndarray]:
    """First byte, and the byte behind the last, of every row of some records: those that are not blank."""
    array = np.frombuffer(data, np.uint8)
    ends = _ends(array, quote)
    if len(array) and (not len(ends) or ends[-1] < len(array)):
        ends = np.append(ends, len(array))
    return _filled(array, ends)


def undecodable(data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Numbers of the rows that are not UTF-8."""
    if data.isascii():
        return np.empty(0, np.int64)
    try:
        pa.array([data], pa.binary()).cast(pa.string())
        return np.empty(0, np.int64)
    except pa.ArrowInvalid:
        high = np.append(0, np.cumsum(np.frombuffer(data, np.uint8) > 127))
        suspects = np.flatnonzero(high[ends] > high[starts])
        return np.array([row for row in suspects if not _is_text(data[starts[row] : ends[row]])], np.int64)


def oddly_quoted(data: bytes, starts: np.ndarray, ends: np.ndarray, quote: int, comma: int) -> np.ndarray:
    """Numbers of the rows whose quotes are not in pairs around whole values: one of them may be left open."""
    if quote not in data:
        return np.empty(0, np.int64)
    array = np.frombuffer(data + b"\n", np.uint8)
    place = np.flatnonzero(array == quote)
    row = np.searchsorted(ends, place, side="right")
    first = np.searchsorted(place, starts)
    closing = (np.arange(len(place)) - first[row]) % 2 == 1
    before, after = array[np.maximum(place - 1, 0)], array[place + 1]
    opens = (place == starts[row]) | (before == comma) | (before == quote)
    closes = np.isin(after, [comma, quote, _NEWLINE, _RETURN])
    odd = (np.searchsorted(place, ends) - first) % 2 == 1
    odd[row[~np.where(closing, closes, opens)]] = True
    return np.flatnonzero(odd)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ends(data: np.ndarray, quote: int | None) -> np.ndarray:
    """Where each record ends: the byte behind its line end."""
    found = np.flatnonzero(data == _NEWLINE)
    if quote is not None:
        found = found[np.searchsorted(np.flatnonzero(data == quote), found) % 2 == 0]
    return found + 1


def _filled(data: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the records that hold more than a line end."""
    if not len(ends):
        return ends, ends
    starts = np.append(0, ends[:-1])
    body = ends - starts - (data[ends - 1] == _NEWLINE)
    filled = (body > 1) | ((body == 1) & (data[starts] != _RETURN))
    return starts[filled], ends[filled]


def _stream(file: str) -> Any:
    filesystem, path = fsspec.core.url_to_fs(file)
    stream = pa.OSFile(path) if "file" in filesystem.protocol else filesystem.open(path)
    return pa.CompressedInputStream(stream, codec(file)) if codec(file) else stream


def _skip(stream: Any, count: int) -> None:
    """Read over ``count`` bytes."""
    while count > 0:
        read = len(stream.read(min(count, BLOCK_BYTES)))
        if not read:
            break
        count -= read
