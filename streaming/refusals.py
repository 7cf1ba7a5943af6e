"""Which of the decoded events break the contract, and why: ``contracts.events.validate``, fast enough for the lake.

Called on every event, ``validate`` would cost as much as decoding. So all columns are looked at as arrays first, and
only the rows that may be refused are validated one by one: the verdict has one home.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import EventError
from contracts.events import FIELDS, LIMITS, Event, EventType, validate

_INT = 2**31


def refused(events: Sequence[Event], columns: pa.Table, now_ms: int) -> Iterator[tuple[int, EventError]]:
    """Row and error of each event that the contract refuses, in their order.

    Args:
        events: decoded events.
        columns: the same, a column for each of ``FIELDS``; integers int64, for a decoded one may have too many bits.
        now_ms: our clock.
    """
    for row in np.flatnonzero(_suspects(columns, now_ms)).tolist():
        try:
            validate(events[row].to_dict(), now_ms)
        except EventError as error:
            yield row, error


def _suspects(columns: pa.Table, now_ms: int) -> np.ndarray:
    """Whether ``validate`` may refuse a row, bool for each; never False where it would."""
    masks = list(_masks(columns, now_ms))
    found = functools.reduce(pc.or_, (pc.fill_null(mask, False) for mask in masks))
    return found.to_numpy()


def _masks(columns: pa.Table, now_ms: int) -> Iterator[pa.ChunkedArray]:
    kind = columns["event_type"]
    yield pc.invert(pc.is_in(kind, value_set=pa.array([member.value for member in EventType])))
    for field in FIELDS:
        values = columns[field.name]
        if field.kind == "string":
            # Bytes are quicker to count than characters, and no fewer.
            yield _outside(pc.binary_length(values), 1, LIMITS.max_id_chars)
        elif field.kind == "double":
            yield pc.invert(pc.is_finite(values))
        elif field.kind == "int":
            yield _outside(values, -_INT, _INT - 1)
        elif field.kind == "map" and not _are_small(values.combine_chunks()):
            yield pc.is_valid(values)
        if len(field.required_by) < len(EventType) and values.null_count:
            needing = pa.array([member.value for member in field.required_by], pa.string())
            yield pc.and_(pc.is_null(values), pc.is_in(kind, value_set=needing))
        elif values.null_count:
            yield pc.is_null(values)
    yield _outside(columns["event_time"], LIMITS.min_event_time, now_ms + LIMITS.max_ahead_ms)
    yield _outside(columns["quantity"], LIMITS.min_quantity, LIMITS.max_quantity)
    yield pc.less(columns["value"], 0.0)
    yield pc.less(columns["position"], 0)


def _are_small(maps: pa.MapArray) -> bool:
    """Whether all maps keep to the limits: which one does not is left to ``validate``."""
    if np.diff(maps.offsets.to_numpy()).max(initial=0) > LIMITS.max_attributes:
        return False
    keys, held = (_outside(pc.binary_length(texts), least, LIMITS.max_id_chars)
                  for texts, least in ((maps.keys, 1), (maps.items, 0)))  # fmt: skip
    return not (pc.any(keys).as_py() or pc.any(held).as_py())


def _outside(values: Any, low: int, high: int) -> Any:
    return pc.or_(pc.less(values, low), pc.greater(values, high))
