"""Records of a topic that break its contract: kept as they came, each with the reason, for people.

A file is named by all the offsets of a flush, as the live file of that flush is, and is written before it: the live
file is the word that the flush is done. So for every range of offsets the records read are the rows of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import fsspec
import pyarrow as pa

from contracts import live_files
from contracts.artifacts import Zones
from contracts.live_files import EVENTS, FOLDERS, LiveFile
from streaming import lake

#: Columns of a quarantine file; ``value`` is the record's bytes, null where it had none.
SCHEMA = pa.schema(
    [
        pa.field("reason", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("source", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("value", pa.binary()),
    ]
)


class Refused(NamedTuple):
    """A record that breaks the contract of its topic.

    Attributes:
        offset: where it lay in its partition.
        reason: code of ``contracts.events.Reason``.
        rule: what was expected and what came.
        value: its bytes.
    """

    offset: int
    reason: str
    rule: str
    value: bytes | None


def folder(zones: Zones, now: datetime, topic: str = EVENTS) -> str:
    """Where files are written on the day of an instant (UTC)."""
    return f"{url(zones, topic)}/day={now:%Y-%m-%d}"


def url(zones: Zones, topic: str = EVENTS) -> str:
    """The part of the quarantine zone for a topic's records."""
    return f"{zones.quarantine}/{FOLDERS[topic]}"


def write(
    zones: Zones,
    file: str,
    partition: int,
    incarnation: str,
    rows: Sequence[Refused],
    now: datetime,
    topic: str = EVENTS,
) -> None:
    """Write one flush's refused records under the name of its live file."""
    columns = {
        "reason": [row.reason for row in rows],
        "rule": [row.rule for row in rows],
        "source": [f"topic:{topic}/p{partition}/{incarnation}"] * len(rows),
        "offset": [row.offset for row in rows],
        "value": [row.value for row in rows],
    }
    lake.place(*fsspec.core.url_to_fs(f"{folder(zones, now, topic)}/{file}"), pa.table(columns, schema=SCHEMA))


def files(zones: Zones, topic: str = EVENTS) -> list[LiveFile]:
    """The files, in the order of incarnation, partition and offset; every refused record is in one of them."""
    return live_files.without_parts(live_files.files_below(url(zones, topic)))


def drop_unfinished(zones: Zones, incarnation: str, written: Mapping[int, int], topic: str = EVENTS) -> int:
    """Take away what a killed writer left of a flush whose live file is not there: its records are read again.

    Args:
        zones: where the files lie.
        incarnation: of the topic as it is; of one that is gone nothing can be read again.
        written: partition -> first offset beyond its live files.
        topic: whose they are.

    Returns:
        How many files went.
    """
    found = [
        file
        for file in live_files.files_below(url(zones, topic))
        if file.incarnation == incarnation and file.last >= written.get(file.partition, 0)
    ]
    for file in found:
        file.filesystem.rm_file(file.path)
    return len(found)
