"""How far one summary is from another, field by field: the population stability index (PSI) over shares of values.

The index sums (p - q) ln(p / q): nothing below .1, some below .25, a shift above it, as it is read by custom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from etl import sketch, summary

#: Index below which a field counts as stable, and below which it moved but moderately.
STABLE, MODERATE = 0.1, 0.25
#: Numbers are compared by this many bins, each of about the same share of the earlier rows.
NUMBER_BINS = 10
#: Added to every count, so that a value which one side lacks has a share to take the logarithm of.
_SMOOTHING = 0.5


def psi(now: np.ndarray, before: np.ndarray) -> float:
    """The index of two arrays of counts over the same values; 0 where the shares are equal."""
    if not now.sum() or not before.sum():
        return 0.0
    # On one scale first: else a value that neither side holds would weigh by how many rows each has.
    scale = min(now.sum(), before.sum())
    p, q = (counts / counts.sum() * scale + _SMOOTHING for counts in (now, before))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def drift(current: Mapping[str, Any], previous: Mapping[str, Any]) -> dict[str, float]:
    """The index of every field that both hold something of, and of ``hours``; null is a value among the others.

    Ids are compared by their frequent values only: that all ids of events are new is no shift.
    """
    found = {"hours": psi(np.array(current["hours"]), np.array(previous["hours"]))}
    for name in current["fields"]:
        now, before = current["fields"][name], previous["fields"][name]
        present = current["rows"] - now["nulls"], previous["rows"] - before["nulls"]
        if name in summary.FEW:
            sides = shares(now, before)
        elif name in summary.NUMBERS:
            sides = _by_bins(now["bins"], before["bins"])
        elif name in summary.IDS and "top" in now and "top" in before:
            sides = _frequent(now, before, present)
        else:
            sides = np.empty(0, np.int64), np.empty(0, np.int64)
        found[name] = psi(*map(_with_nulls, sides, present, (now["nulls"], before["nulls"])))
    return found


def word(index: float) -> str:
    """How an index is read: ``stable``, ``moderate`` or ``shifted``."""
    return "stable" if index < STABLE else "moderate" if index < MODERATE else "shifted"


def named(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """The values of a field with few that can be compared, sorted.

    A value that only one side lists is one of the others where the other side may hold it unlisted.
    """
    return [
        value
        for value in sorted({*now["counts"], *before["counts"]})
        if (value in now["counts"] or not now["other"]) and (value in before["counts"] or not before["other"])
    ]


def shares(now: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of two summaries of a field with few values, over ``named``; the last is of all others."""
    values = named(now, before)
    return _over(values, now["counts"], now["other"]), _over(values, before["counts"], before["other"])


def _over(values: list[str], counts: Mapping[str, int], other: int) -> np.ndarray:
    listed = [counts.get(value, 0) for value in values]
    return np.array([*listed, sum(counts.values()) - sum(listed) + other], np.int64)


def _frequent(
    now: Mapping[str, Any], before: Mapping[str, Any], present: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the ids that are frequent on both sides; the last is of all others."""
    values = sorted({*now["top"]} & {*before["top"]})
    unlisted = [max(rows - sum(side["top"].values()), 0) for rows, side in zip(present, (now, before))]
    return _over(values, now["top"], unlisted[0]), _over(values, before["top"], unlisted[1])


def _by_bins(now: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Counts of numbers between the quantiles of the earlier ones."""
    values, counts = sketch.laid_out(before)
    if not len(values):
        return np.array([0, sketch.laid_out(now)[1].sum()]), np.array([0, 0])
    until = np.cumsum(counts)
    cuts = np.unique(np.searchsorted(until, until[-1] * np.arange(1, NUMBER_BINS) / NUMBER_BINS))
    sides = []
    for held in (now, before):
        theirs, many = sketch.laid_out(held)
        where = np.searchsorted(values[cuts], theirs, side="left")
        sides.append(np.bincount(where, weights=many, minlength=len(cuts) + 1))
    return sides[0], sides[1]


def _with_nulls(counts: np.ndarray, present: int, nulls: int) -> np.ndarray:
    """Counts, scaled to the rows that are not null, and the nulls."""
    scaled = counts * (present / counts.sum()) if counts.sum() else np.append(counts[:-1], present)
    return np.append(scaled, nulls)
