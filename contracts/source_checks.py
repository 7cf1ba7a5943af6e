"""What the types of ``[source]`` and ``[quality]`` cannot say: fields that there are, event types, ways to write."""

from __future__ import annotations

import codecs
import difflib
import math
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from contracts.config_reading import Finding
from contracts.events import FIELD_BY_NAME, EventType

if TYPE_CHECKING:
    from contracts.config import Config, ContextTable, QualitySettings, Source, Table

#: Table of the source -> fields that its columns must give.
_NEEDED = {
    "events": ("user_id", "item_id", "event_time"),
    "items": ("item_id",),
    "users": ("user_id",),
    "context": ("item_id", "period"),
}
#: Fields that every row gets, or that are asked of every type.
_GIVEN = ("event_id", "event_type", *_NEEDED["events"])
#: Field that an event may refer by -> the table that it refers to.
REFERENCES = {"item_id": "items", "user_id": "users"}
FORMATS = ("parquet", "csv", "json")
TIME_UNITS = ("s", "ms", "us", "ns")
_KINDS = tuple(kind.value for kind in EventType)


def source_checks(source: Source) -> Iterator[Finding]:
    """Whether the source's columns are mapped to ours, and to nothing unknown."""
    events = source.events
    if events.event_type not in _KINDS:
        yield Finding("source.events.event_type", f"expected one of {[*_KINDS]}, got {events.event_type!r}")
    for theirs, ours in events.event_types.items():
        if ours not in _KINDS:
            yield Finding(f"source.events.event_types.{theirs}", f"expected one of {[*_KINDS]}, got {ours!r}")
    if events.event_types and "event_type" not in events.columns:
        text = "maps the values of a column, but source.events.columns has no event_type; name the column there"
        yield Finding("source.events.event_types", text, ("source.events.columns",))
    if "event_type" not in events.columns:
        for field in FIELD_BY_NAME.values():
            needed = events.event_type in [kind.value for kind in field.required_by]
            if needed and field.name not in (*_GIVEN, *events.columns):
                text = f"is missing; an event of type {events.event_type!r} needs it"
                yield Finding(f"source.events.columns.{field.name}", text, ("source.events.event_type",))
    if events.time_unit not in TIME_UNITS:
        yield Finding("source.events.time_unit", f"expected one of {[*TIME_UNITS]}, got {events.time_unit!r}")
    if not events.url:
        yield Finding("source.events.url", "expected the files of the log, got nothing")
    for ours in events.columns:
        if ours not in FIELD_BY_NAME:
            yield Finding(f"source.events.columns.{ours}", f"is not a field of an event; {_near(ours, FIELD_BY_NAME)}")
    for name, needed in _NEEDED.items():
        table: Table = getattr(source, name)
        for ours in needed:
            if ours not in table.columns and (table.columns or name == "events"):
                where = f"source.{name}.columns.{ours}"
                yield Finding(where, "is missing; say which column of the table holds it")
        yield from _writing_checks(f"source.{name}", table)
    if source.context.url:
        yield from _period_checks(source.context)


def _period_checks(table: ContextTable) -> Iterator[Finding]:
    """Whether a period's number gives a time."""
    try:
        date.fromisoformat(table.first_start)
    except ValueError:
        text = f"expected the date (YYYY-MM-DD) on which period {table.first_period} begins, got {table.first_start!r}"
        yield Finding("source.context.first_start", text)
    if table.period_days <= 0:
        yield Finding("source.context.period_days", f"expected 1 or more, got {table.period_days}")
    try:
        ZoneInfo(table.timezone)
    except (KeyError, ValueError, OSError):
        yield Finding("source.context.timezone", f"expected a name such as 'Europe/Paris', got {table.timezone!r}")
    for ours in sorted({"item_code", "start", "end"} & {*table.columns}):
        yield Finding(f"source.context.columns.{ours}", "is a name of Trireme's own; give the column another")


def _writing_checks(where: str, table: Table) -> Iterator[Finding]:
    """How the files of a table are written."""
    if table.format not in ("", *FORMATS):
        yield Finding(f"{where}.format", f"expected one of {[*FORMATS]}, got {table.format!r}")
    if len(table.separator.encode()) > 1 or table.separator in ("\n", "\r", '"'):
        yield Finding(f"{where}.separator", f"expected one ASCII character, got {table.separator!r}")
    if len(table.quote.encode()) > 1 or table.quote in ("\n", "\r", ","):
        yield Finding(f"{where}.quote", f"expected one ASCII character or '' for none, got {table.quote!r}")
    elif table.quoted_newlines and not table.quote:
        yield Finding(f"{where}.quoted_newlines", "expected a quote to be set, got ''", (f"{where}.quote",))
    try:
        ascii_kept = '\r\n,"a'.encode(codecs.lookup(table.encoding).name) == b'\r\n,"a'
    except (LookupError, ValueError):
        ascii_kept = False
    if not ascii_kept:
        text = "expected an encoding in which ASCII stays as it is ('utf-8', 'latin-1', 'cp1252')"
        yield Finding(f"{where}.encoding", f"{text}, got {table.encoding!r}; convert other files first")
    if len({*table.header}) != len(table.header):
        yield Finding(f"{where}.header", f"expected each name once, got {[*table.header]}")


def quality_checks(config: Config) -> Iterator[Finding]:
    """Whether the rules of ``[quality]`` speak of fields, types and tables that there are."""
    quality = config.quality
    yield from _unknown("quality.allowed", quality.allowed)
    for field, values in quality.allowed.items():
        if not values:
            yield Finding(f"quality.allowed.{field}", "expected at least one value, got an empty list")
        for value in values if field == "event_type" else ():
            if value not in _KINDS:
                yield Finding("quality.allowed.event_type", f"{value!r} is no event type; {_near(value, _KINDS)}")
    yield from _interval_checks(quality)
    for kind, fields in quality.required.items():
        if kind not in _KINDS:
            yield Finding(f"quality.required.{kind}", f"is no event type; {_near(kind, _KINDS)}")
        for field in fields:
            if field not in FIELD_BY_NAME:
                text = f"{field!r} is not a field of an event; {_near(field, FIELD_BY_NAME)}"
                yield Finding(f"quality.required.{kind}", text)
    for field in quality.references:
        table = REFERENCES.get(field)
        if table is None:
            yield Finding("quality.references", f"expected 'item_id' or 'user_id', got {field!r}")
        elif not getattr(config.source, table).url:
            text = f"{field!r} must be in source.{table}, which has no url; give it one, or take the reference away"
            yield Finding("quality.references", text, (f"source.{table}.url",))
    if 0 < quality.hold_volume_ratio <= 1:
        text = f"expected how many times the usual rows, more than 1, got {quality.hold_volume_ratio}"
        yield Finding("quality.hold_volume_ratio", text)


def _interval_checks(quality: QualitySettings) -> Iterator[Finding]:
    yield from _unknown("quality.ranges", quality.ranges)
    for field, interval in quality.ranges.items():
        where = f"quality.ranges.{field}"
        if field in FIELD_BY_NAME and FIELD_BY_NAME[field].kind not in ("int", "long", "double"):
            yield Finding(where, f"is {FIELD_BY_NAME[field].kind}, not a number; say its values in quality.allowed")
        if len(interval) != 2 or not interval[0] <= interval[1] or not any(map(math.isfinite, interval)):
            yield Finding(where, f"expected [least, greatest], got {[*interval]}")


def _unknown(where: str, fields: Iterable[str]) -> Iterator[Finding]:
    for field in fields:
        if field not in FIELD_BY_NAME:
            yield Finding(f"{where}.{field}", f"is not a field of an event; {_near(field, FIELD_BY_NAME)}")


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [*known], n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
