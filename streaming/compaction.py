"""Many small files of the lake become one a partition: live ones once their hour is over, quarantined ones by day.

The merged file is named by the offsets of its parts and appears before they go: a crash in between leaves parts that
``live_files.live_files`` does not show, for a longer file holds them, and that the next run takes away.
"""

from __future__ import annotations

import itertools
import logging
from datetime import datetime

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import live_files
from contracts.artifacts import Zones
from contracts.live_files import EVENTS, LiveFile
from streaming import lake, quarantine

log = logging.getLogger(__name__)


def compact(zones: Zones, now: datetime, topic: str = EVENTS) -> int:
    """Merge a topic's files of all hours and days before those of ``now`` (UTC); how many files went."""
    live = _compact(live_files.all_live_files(zones, topic), live_files.live_folder(zones, now, topic))
    refused = live_files.files_below(quarantine.url(zones, topic))
    return live + _compact(refused, quarantine.folder(zones, now, topic))


def _compact(files: list[LiveFile], current: str) -> int:
    """Merge neighbours in the order of offsets: between them lies no file of another folder that would be hidden."""
    shown = live_files.without_parts(files)
    gone = sorted({*files} - {*shown})
    _, current = fsspec.core.url_to_fs(current)
    for (_, _, folder), group in itertools.groupby(shown, key=_place):
        run = list(group)
        if len(run) > 1 and folder != current:
            _merge(run, folder)
            gone += run
    for file in gone:
        file.filesystem.rm_file(file.path)
    if gone:
        log.info("merged %d small files of the lake", len(gone))
    return len(gone)


def _place(file: LiveFile) -> tuple[str, int, str]:
    return file.incarnation, file.partition, file.path.rpartition("/")[0]


def _merge(run: list[LiveFile], folder: str) -> None:
    first, last = run[0], run[-1]
    tables = []
    for file in run:
        with file.filesystem.open(file.path, "rb") as opened:
            tables.append(pq.ParquetFile(opened).read())
    name = live_files.live_name(first.partition, first.incarnation, first.first, last.last)
    lake.place(first.filesystem, f"{folder}/{name}", pa.concat_tables(tables))
