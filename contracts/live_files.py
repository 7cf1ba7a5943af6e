"""The live zone: which records of a topic each file holds.

A live file is called ``p<partition>-<incarnation>-<first offset>-<last offset>.parquet`` and appears by a rename, so
the files themselves say which records are stored: there is no second place that could disagree. They lie under the day
and hour (UTC) at which they were written, ``raw/live/day=YYYY-MM-DD/hour=HH/``. Records that are no event are missing
in them, and lie in the quarantine zone under the same name: a live file may even be empty. The topic of impressions has
a folder of its own, ``raw/impressions/``, of the same form.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import fsspec

from contracts.artifacts import Zones

#: Topics, and the folder of each below the raw zone and below that of quarantine.
EVENTS, IMPRESSIONS = "events", "impressions"
FOLDERS = {EVENTS: "live", IMPRESSIONS: "impressions"}
_NAME = re.compile(r"/p(?P<partition>\d+)-(?P<incarnation>[0-9a-f]{32})-(?P<first>\d+)-(?P<last>\d+)\.parquet$")


@dataclasses.dataclass(frozen=True, order=True)
class LiveFile:
    """What the name of a live file says, and where it lies."""

    incarnation: str
    partition: int
    first: int
    last: int
    path: str
    filesystem: Any = dataclasses.field(compare=False)

    @property
    def day(self) -> str:
        """The day (UTC) at which it was written, of a file of the live zone: ``day=YYYY-MM-DD``."""
        return self.path.split("/")[-3]


def live_name(partition: int, incarnation: str, first: int, last: int) -> str:
    """The name of the file that holds the records ``first`` to ``last``."""
    return f"p{partition:03d}-{incarnation}-{first:012d}-{last:012d}.parquet"


def live_folder(zones: Zones, now: datetime, topic: str = EVENTS) -> str:
    """Where files are written at an instant (UTC)."""
    return f"{zones.raw}/{FOLDERS[topic]}/day={now:%Y-%m-%d}/hour={now:%H}"


def live_files(zones: Zones, topic: str = EVENTS) -> list[LiveFile]:
    """The live files of a topic, in the order of incarnation, partition and offset; every record is in one of them."""
    return without_parts(all_live_files(zones, topic))


def all_live_files(zones: Zones, topic: str = EVENTS) -> list[LiveFile]:
    """``live_files``, and the parts of merged files that are not taken away yet."""
    return files_below(f"{zones.raw}/{FOLDERS[topic]}")


def files_below(url: str) -> list[LiveFile]:
    """All files below a folder that are named by offsets, in the order of ``live_files``."""
    filesystem, path = fsspec.core.url_to_fs(url)
    found = []
    for name in filesystem.find(path):
        match = _NAME.search(name)
        if match:
            partition, first, last = (int(match[key]) for key in ("partition", "first", "last"))
            found.append(LiveFile(match["incarnation"], partition, first, last, name, filesystem))
    return sorted(found)


def without_parts(files: Sequence[LiveFile]) -> list[LiveFile]:
    """The files of which no other one holds all records."""
    kept: list[LiveFile] = []
    for file in sorted(files, key=lambda file: (file.incarnation, file.partition, file.first, -file.last)):
        same = kept and (kept[-1].incarnation, kept[-1].partition) == (file.incarnation, file.partition)
        if not same or file.last > kept[-1].last:
            kept.append(file)
    return kept


def ends(files: Sequence[LiveFile]) -> dict[str, dict[int, int]]:
    """Incarnation -> partition -> the first offset beyond its files."""
    found: dict[str, dict[int, int]] = {}
    for file in files:
        offsets = found.setdefault(file.incarnation, {})
        offsets[file.partition] = max(offsets.get(file.partition, 0), file.last + 1)
    return found
