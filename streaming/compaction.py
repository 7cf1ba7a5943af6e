"""Many small live files of an hour become one a partition, once the hour is over.

The merged file is named by the offsets of its parts and appears before they go: a crash in between leaves parts that
``lake.live_files`` does not show, for a longer file holds them, and that the next run takes away.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import Zones
from streaming import lake
from streaming.lake import LiveFile

log = logging.getLogger(__name__)


def compact(zones: Zones, now: datetime) -> int:
    """Merge the live files of all hours before that of ``now`` (UTC); how many files went."""
    files = lake.all_live_files(zones)
    shown = set(lake.without_parts(files))
    gone = [file for file in files if file not in shown]
    current = lake.live_folder(zones, now)
    for _, group in itertools.groupby(sorted(shown, key=_folder), key=_folder):
        together = sorted(group)
        if current.endswith(_folder(together[0])):
            continue
        for run in _runs(together):
            if len(run) > 1:
                _merge(run)
                gone += run
    for file in gone:
        file.filesystem.rm_file(file.path)
    if gone:
        log.info("merged %d small files of the live zone", len(gone))
    return len(gone)


def _folder(file: LiveFile) -> str:
    """Its day and hour: ``day=2026-11-23/hour=07``."""
    return "/".join(file.path.split("/")[-3:-1])


def _runs(files: Iterable[LiveFile]) -> Iterator[list[LiveFile]]:
    """Files of one partition whose offsets follow each other without a gap (a gap may lie in another hour's file)."""
    run: list[LiveFile] = []
    for file in files:
        if run and (file.incarnation, file.partition, file.first) != (
            run[-1].incarnation,
            run[-1].partition,
            run[-1].last + 1,
        ):
            yield run
            run = []
        run.append(file)
    yield run


def _merge(run: list[LiveFile]) -> None:
    first, last = run[0], run[-1]
    tables = []
    for file in run:
        with file.filesystem.open(file.path, "rb") as opened:
            tables.append(pq.ParquetFile(opened).read())
    name = lake.live_name(first.partition, first.incarnation, first.first, last.last)
    lake.place(first.filesystem, f"{first.path.rpartition('/')[0]}/{name}", pa.concat_tables(tables))
