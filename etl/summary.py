"""What a day of events looks like, as one document that merges: counts, nulls, sketches of every field.

Days are compared by it (``etl.holds``, ``etl.drift``) and a run's profile is the merger of its days. Rows, nulls, sums
and the counts of fields with few values are exact; quantiles, distinct and frequent values come from every n-th row of
a table larger than ``SAMPLE`` (``sampled`` says how many were looked at: fewer than ``rows`` means estimates).
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.events import FIELD_BY_NAME, FIELDS, LIMITS
from contracts.features import MS_PER_HOUR
from etl import sketch

#: Rows of one table that are looked at for quantiles, distinct and frequent values.
SAMPLE = 10_000
#: Values of a field with few that are counted each; the rest count as ``other``.
MOST_VALUES = 200
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: Fields with few values, with numbers, and with ids.
FEW = ("event_type", "region", "device", "release", "variant")
NUMBERS = tuple(field.name for field in FIELDS if field.kind in ("int", "double"))
IDS = tuple(field.name for field in FIELDS if field.kind == "string" and field.name not in FEW)

_MOST = sys.float_info.max


def summarise(rows: pa.Table) -> dict[str, Any]:
    """The summary of event rows (``etl.ingest.SCHEMA``; a column that is not there is all null, others are ignored).

    Returns:
        ``rows``, ``sampled``, ``hours`` (rows by hour of the day, UTC), and ``fields``: of every field ``nulls``, and
        - of a number (``NUMBERS``): ``count``, ``strange`` (NaN or infinite, not counted), ``min``, ``max``, ``sum``,
          ``squares`` (sum of squares; a sum beyond the range of a double stays at its end) and ``bins``,
        - of a field with few values (``FEW``): ``counts`` by value and ``other``,
        - of ids (``IDS``): ``smallest`` hashes, ``top`` counts by value and ``missed``,
        - of ``event_time``: ``first`` and ``last`` (ms).
    """
    step = _step(rows.num_rows)
    fields: dict[str, dict[str, Any]] = {}
    for name in (*(field.name for field in FIELDS), "unreadable"):
        there = name in rows.column_names
        values = rows.column(name) if there else pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
        fields[name] = {"nulls": values.null_count}
        if name in FEW:
            fields[name].update(_few(values))
        elif name in NUMBERS:
            fields[name].update(_numbers(values))
        elif name in IDS:
            fields[name].update(_ids(_every(values, step), step))
        elif name == "event_time":
            fields[name].update(_times(values))
    hours = fields["event_time"].pop("hours")
    return {"rows": rows.num_rows, "sampled": -(-rows.num_rows // step), "hours": hours, "fields": fields}


def merge(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of the rows of both."""
    return merged([a, b])


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary of the rows of all; of none, that of no rows."""
    if not parts:
        return summarise(pa.table({}))
    fields: dict[str, dict[str, Any]] = {}
    for name in parts[0]["fields"]:
        held = [part["fields"][name] for part in parts]
        fields[name] = {"nulls": sum(part["nulls"] for part in held)}
        for names, how in _MERGERS:
            if name in names:
                fields[name].update(how(held))
    return {
        "rows": sum(part["rows"] for part in parts),
        "sampled": sum(part["sampled"] for part in parts),
        "hours": np.sum([part["hours"] for part in parts], axis=0).tolist(),
        "fields": fields,
    }


def figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader wants of a summary, sketches turned into numbers.

    Returns:
        ``rows``, ``sampled``, ``hours``, and ``fields``: of every field ``null_rate``; of a number that has values
        ``mean``, ``std``, ``min``, ``max`` and ``quantiles`` (share -> value); of a field with few values and of ids
        ``distinct``, ``at_least`` (true where only a part was looked at) and ``top`` (ten pairs of value and count).
    """
    rows, fields = summary["rows"], {}
    for name, held in summary["fields"].items():
        fields[name] = {"null_rate": held["nulls"] / rows if rows else 0.0}
        if held.get("count"):
            fields[name].update(_of_numbers(held, FIELD_BY_NAME[name].kind == "int"))
        elif name in FEW:
            many, values = held["other"] > 0, sketch.largest(held["counts"], 10)[0]
            fields[name].update(distinct=len(held["counts"]), at_least=many, top=[*map(list, values.items())])
        elif "smallest" in held:
            values = sketch.largest(held["top"], 10)[0]
            fields[name].update(
                distinct=sketch.distinct(held["smallest"]),
                at_least=summary["sampled"] < rows,
                top=[*map(list, values.items())],
            )
        elif name == "event_time":
            fields[name].update(first=held["first"], last=held["last"])
    return {"rows": rows, "sampled": summary["sampled"], "hours": list(summary["hours"]), "fields": fields}


def slim(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary without what is known of ids: a twentieth of the size, and all that ``etl.holds`` reads."""
    fields = {name: held if name not in IDS else {"nulls": held["nulls"]} for name, held in summary["fields"].items()}
    return {**summary, "fields": fields}


def _step(rows: int) -> int:
    return max(1, -(-rows // SAMPLE))


def _every(values: pa.ChunkedArray, step: int) -> pa.ChunkedArray:
    """Every ``step``-th row, without first copying the chunks of the column into one."""
    if step == 1:
        return values
    parts, start = [], 0
    for part in values.chunks:
        parts.append(part.take(pa.array(np.arange(-start % step, len(part), step))))
        start += len(part)
    return pa.chunked_array(parts, values.type)


def _few(values: pa.ChunkedArray) -> dict[str, Any]:
    found = pc.value_counts(values.drop_null())
    return _listed(_named(found.field("values"), found.field("counts").to_numpy()))


def _listed(counts: Mapping[str, int], other: int = 0) -> dict[str, Any]:
    kept, left = sketch.largest(counts, MOST_VALUES)
    return {"counts": kept, "other": other + sum(left.values())}


def _ids(values: pa.ChunkedArray, step: int) -> dict[str, Any]:
    found = pc.value_counts(values.drop_null())
    texts, counts = found.field("values"), found.field("counts").to_numpy() * step
    # Only the frequent ones become Python's. Of many, those seen once stand for nothing.
    order = np.argsort(-counts, kind="stable")
    most = len(order) if len(order) <= sketch.TOP else min(sketch.TOP, int((counts > step).sum()))
    kept, left = order[:most], order[most : most + 1]
    return {
        "smallest": sketch.smallest_hashes(pa.chunked_array([texts])),
        "top": _named(texts.take(pa.array(kept)), counts[kept]),
        "missed": int(counts[left].sum()),
    }


def _named(values: pa.Array, counts: np.ndarray) -> dict[str, int]:
    """Counts by value; a value longer than an id may be is cut."""
    return sketch.added(
        {value[: LIMITS.max_id_chars]: count} for value, count in zip(values.to_pylist(), counts.tolist())
    )


def _times(values: pa.ChunkedArray) -> dict[str, Any]:
    times = pc.cast(values, pa.int64()).drop_null().to_numpy()
    return {
        "first": int(times.min()) if len(times) else None,
        "last": int(times.max()) if len(times) else None,
        "hours": np.bincount(times // MS_PER_HOUR % 24, minlength=24).tolist(),
    }


def _numbers(values: pa.ChunkedArray) -> dict[str, Any]:
    read = pc.cast(values.drop_null(), pa.float64()).to_numpy()
    usable = np.isfinite(read)
    numbers = read if usable.all() else read[usable]
    with np.errstate(over="ignore"):
        total, squares = float(numbers.sum()), float(numbers @ numbers)
    step = _step(len(numbers))
    return {
        "count": len(numbers),
        "strange": len(read) - len(numbers),
        "min": float(numbers.min()) if len(numbers) else None,
        "max": float(numbers.max()) if len(numbers) else None,
        "sum": _bounded(total),
        "squares": _bounded(squares),
        "bins": sketch.bins(numbers[::step], step),
    }


def _bounded(number: float) -> float:
    return min(max(number, -_MOST), _MOST)


def _merged_numbers(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    some = [part for part in parts if part["count"]]
    return {
        "count": sum(part["count"] for part in parts),
        "strange": sum(part["strange"] for part in parts),
        "min": min((part["min"] for part in some), default=None),
        "max": max((part["max"] for part in some), default=None),
        "sum": _bounded(sum(part["sum"] for part in parts)),
        "squares": _bounded(sum(part["squares"] for part in parts)),
        "bins": sketch.merged_bins([part["bins"] for part in parts]),
    }


def _merged_few(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return _listed(sketch.added(part["counts"] for part in parts), sum(part["other"] for part in parts))


def _merged_ids(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not all("smallest" in part for part in parts):  # a slim one knows nothing of them
        return {}
    return {"smallest": sketch.merged_hashes(part["smallest"] for part in parts), **sketch.merged_top(parts)}


def _merged_times(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    some = [part for part in parts if part["first"] is not None]
    return {
        "first": min((part["first"] for part in some), default=None),
        "last": max((part["last"] for part in some), default=None),
    }


_MERGERS: tuple[tuple[tuple[str, ...], Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]], ...] = (
    (FEW, _merged_few),
    (NUMBERS, _merged_numbers),
    (IDS, _merged_ids),
    (("event_time",), _merged_times),
)


def _of_numbers(held: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    mean = held["sum"] / held["count"]
    variance = max(held["squares"] / held["count"] - mean * mean, 0.0)
    values = sketch.quantiles(held["bins"], QUANTILES, held["min"], held["max"])
    if whole:
        values = [*map(float, map(round, values))]
    return {
        "count": held["count"],
        "mean": mean,
        "std": math.sqrt(variance),
        "min": held["min"],
        "max": held["max"],
        "quantiles": dict(zip(map(str, QUANTILES), values)),
    }
