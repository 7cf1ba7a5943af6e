"""The rules that a row must obey: the contract's, in the order of ``validate``, then those of the data set.

The contract's derive from ``contracts.events`` (``FIELDS``, ``LIMITS``), so that a row gets the reason which the
collector would give; the data set's are declared in its TOML, under ``[quality]``.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import QualitySettings
from contracts.events import FIELDS, LIMITS, EventType, Reason
from contracts.features import MS_PER_HOUR
from etl import changes


class Rule(NamedTuple):
    """A way of being wrong: ``broken`` tells of every row whether it is; null (nothing to judge) is no breach."""

    reason: Reason
    text: str
    broken: Any


class Context(NamedTuple):
    """What the rules of a data set need besides the row.

    Attributes:
        now_ms: the clock.
        settings: the data set's rules.
        known: ``item_id`` and ``user_id`` -> ids of their tables, for the fields in ``settings.references``.
    """

    now_ms: int
    settings: QualitySettings = QualitySettings()
    known: Mapping[str, pa.Array] = {}


def judge(rows: pa.Table, context: Context, behind: np.ndarray | None = None) -> tuple[np.ndarray, list[Rule]]:
    """Index of the first broken rule of every row (-1 = none), int16 ``[rows]``, and the rules that were broken.

    Args:
        rows: raw rows (``etl.ingest.SCHEMA``).
        context: clock, rules and references.
        behind: milliseconds by which each row's time falls behind the newest before it in its source; None where the
            order is not known any more.
    """
    verdict, found = np.full(rows.num_rows, -1, np.int16), []
    for rule in (*contract_rules(rows, context.now_ms), *own_rules(rows, context, behind)):
        if pc.any(rule.broken).as_py():
            broken = np.asarray(pc.fill_null(rule.broken, False))
            verdict[(verdict < 0) & broken] = len(found)
            found.append(rule)
    return verdict, found


def contract_rules(rows: pa.Table, now_ms: int) -> Iterator[Rule]:
    """The rules of ``contracts.events.validate``, in its order."""
    unreadable = rows.column("unreadable")
    some = unreadable.null_count < rows.num_rows
    if some:
        yield Rule(Reason.WRONG_TYPE, "the row can be read", pc.starts_with(unreadable, "row "))
    for field in FIELDS:
        values = rows.column(field.name)
        if some:
            broken = pc.starts_with(unreadable, f"{field.name}=")
            yield Rule(Reason.WRONG_TYPE, f"{field.name} is a {field.kind}", broken)
        if field.kind == "double":
            yield Rule(Reason.WRONG_TYPE, f"{field.name} is finite", pc.invert(pc.is_finite(values)))
        if field.kind == "string":
            text = f"{field.name} has at most {LIMITS.max_id_chars} characters"
            yield Rule(Reason.TOO_LONG, text, pc.greater(pc.utf8_length(values), LIMITS.max_id_chars))
    kind = rows.column("event_type")
    yield Rule(Reason.MISSING_FIELD, "event_type is required", pc.is_null(kind))
    yield Rule(Reason.UNKNOWN_TYPE, "event_type is known", pc.invert(pc.is_in(kind, value_set=_kinds(EventType))))
    for field in FIELDS:
        absent = pc.and_(pc.is_null(rows.column(field.name)), pc.is_in(kind, value_set=_kinds(field.required_by)))
        yield Rule(Reason.MISSING_FIELD, f"{field.name} is required", absent)
    yield from _ranges(rows, now_ms)


def own_rules(rows: pa.Table, context: Context, behind: np.ndarray | None) -> Iterator[Rule]:
    """The rules of the data set's TOML."""
    settings = context.settings
    for name, values in settings.allowed.items():
        column = rows.column(name)
        broken = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=pa.array(values, pa.string()))))
        yield Rule(Reason.NOT_ALLOWED, f"{name} is one of {', '.join(values)}", broken)
    for name, (low, high) in settings.ranges.items():
        column = rows.column(name)
        broken = pc.or_(pc.less(column, low), pc.greater(column, high))
        yield Rule(Reason.OUT_OF_RANGE, f"{low:g} <= {name} <= {high:g}", broken)
    for kind, names in settings.required.items():
        for name in names:
            broken = pc.and_(pc.equal(rows.column("event_type"), kind), pc.is_null(rows.column(name)))
            yield Rule(Reason.MISSING_FIELD, f"{name} is required by {kind}", broken)
    for name in settings.references:
        column = rows.column(name)
        broken = pc.and_(pc.is_valid(column), pc.invert(pc.is_in(column, value_set=context.known[name])))
        # An update may be the first to name what it is of.
        broken = pc.and_(broken, pc.not_equal(rows.column("event_type"), changes.KINDS[name]))
        yield Rule(Reason.UNKNOWN_REFERENCE, f"{name} is in its table", broken)
    if behind is not None and settings.max_disorder_hours:
        text = f"event_time falls at most {settings.max_disorder_hours} h behind"
        yield Rule(Reason.OUT_OF_ORDER, text, pa.array(behind > settings.max_disorder_hours * MS_PER_HOUR))


def _ranges(rows: pa.Table, now_ms: int) -> Iterator[Rule]:
    time, quantity = rows.column("event_time"), rows.column("quantity")
    early, late = pc.less(time, LIMITS.min_event_time), pc.greater(time, now_ms + LIMITS.max_ahead_ms)
    yield Rule(Reason.TIME_OUT_OF_RANGE, f"{LIMITS.min_event_time} <= event_time <= now", pc.or_(early, late))
    outside = pc.or_(pc.less(quantity, LIMITS.min_quantity), pc.greater(quantity, LIMITS.max_quantity))
    text = f"{LIMITS.min_quantity} <= quantity <= {LIMITS.max_quantity}"
    yield Rule(Reason.QUANTITY_OUT_OF_RANGE, text, outside)
    for name in ("value", "position"):
        yield Rule(Reason.NEGATIVE_VALUE, f"{name} >= 0", pc.less(rows.column(name), 0))


def _kinds(kinds: Any) -> pa.Array:
    return pa.array(sorted(member.value for member in kinds), pa.string())
