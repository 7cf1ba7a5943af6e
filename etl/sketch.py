"""Sketches of one column: small documents whose merger says what the sketch of all rows would have said.

- Quantiles by log-spaced bins (DDSketch: Masson, Rim and Lee, VLDB 2019), within ``RELATIVE_ERROR`` of the true value.
- Distinct values by the k smallest hashes (Bar-Yossef et al., RANDOM 2002), relative standard error 1/sqrt(k - 2).
- Frequent values by their counts, cut to the ``TOP`` largest, with the most that a value left out can have.

Counts are weighted: every n-th row of a large table stands for n of them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from etl import store

RELATIVE_ERROR = 0.01
#: A magnitude below this counts as zero.
SMALLEST = 1e-9
KEPT_HASHES = 1024
TOP = 100

_LOG_GAMMA = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_MIDDLE = math.log(2 / (1 + math.exp(_LOG_GAMMA)))
_LARGEST_LOG = math.log(float(np.finfo(np.float64).max))


def bins(values: np.ndarray, weight: int) -> dict[str, Any]:
    """Finite numbers, float64, by sign and magnitude: ``zero`` and, by number of the bin, ``negative``, ``positive``.

    Bin i holds the magnitudes in (gamma^(i-1), gamma^i], gamma = (1 + error) / (1 - error).
    """
    size = np.abs(values)
    counted = size >= SMALLEST
    numbers = np.ceil(np.log(size, where=counted, out=np.zeros(len(size))) / _LOG_GAMMA).astype(np.int64)
    parts = {"negative": counted & (values < 0), "positive": counted & (values > 0)}
    out: dict[str, Any] = {"zero": int((~counted).sum()) * weight}
    for sign, chosen in parts.items():
        which, counts = np.unique(numbers[chosen], return_counts=True)
        out[sign] = dict(zip(map(str, which.tolist()), (counts * weight).tolist()))
    return out


def merged_bins(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The bins of all rows."""
    return {
        "zero": sum(part["zero"] for part in parts),
        **{sign: added(part[sign] for part in parts) for sign in ("negative", "positive")},
    }


def laid_out(held: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values (float64, each the middle of its bin) from the least to the greatest, and their counts (int64)."""
    values, counts = [], []
    for sign, way in ((-1.0, "negative"), (1.0, "positive")):
        order = sorted((int(number) for number in held[way]), reverse=sign < 0)
        logs = np.minimum(np.array(order, float) * _LOG_GAMMA + _MIDDLE, _LARGEST_LOG)
        values.append(sign * np.exp(logs))
        counts.append(np.array([held[way][str(number)] for number in order], np.int64))
    zero = np.array([held["zero"]] if held["zero"] else [], np.int64)
    return (
        np.concatenate([values[0], np.zeros(len(zero)), values[1]]),
        np.concatenate([counts[0], zero, counts[1]]),
    )


def quantiles(held: Mapping[str, Any], shares: Sequence[float], low: float, high: float) -> list[float]:
    """The value below which each share of the rows lies (of two, the lower), kept within ``low`` and ``high``.

    Raises:
        ValueError: when there are no values.
    """
    values, counts = laid_out(held)
    if not len(values):
        raise ValueError("expected at least one value to take quantiles of")
    until = np.cumsum(counts)
    ranks = np.floor(np.array(shares) * (until[-1] - 1))
    return np.clip(values[np.searchsorted(until, ranks, side="right")], low, high).tolist()


def smallest_hashes(texts: pa.ChunkedArray) -> str:
    """The ``KEPT_HASHES`` smallest distinct hashes of strings, as base64 of little-endian uint64."""
    return _packed([store.hash64(texts)])


def merged_hashes(parts: Iterable[str]) -> str:
    """The smallest hashes of all rows."""
    return _packed([_unpacked(part) for part in parts])


def distinct(held: str) -> int:
    """How many distinct values there are: exact below ``KEPT_HASHES``, else within some 3 % (one standard error)."""
    hashes = _unpacked(held)
    if len(hashes) < KEPT_HASHES:
        return len(hashes)
    return round((KEPT_HASHES - 1) * 2.0**64 / float(hashes[-1]))


def merged_top(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Frequent values (``top``: counts by value) of all rows, and ``missed``: the most that one left out can have.

    A count is never above the true one, and at most ``missed`` below it.
    """
    kept, left = largest(added(part["top"] for part in parts), TOP)
    return {"top": kept, "missed": sum(part["missed"] for part in parts) + max(left.values(), default=0)}


def added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by value, added up."""
    out: dict[str, int] = {}
    for part in parts:
        for value, count in part.items():
            out[value] = out.get(value, 0) + count
    return out


def largest(counts: Mapping[str, int], most: int) -> tuple[dict[str, int], dict[str, int]]:
    """The ``most`` largest counts (of equals, the value that sorts first), falling, and the rest."""
    order = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(order[:most]), dict(order[most:])


def _packed(parts: Sequence[np.ndarray]) -> str:
    hashes = np.unique(np.concatenate([*parts, np.empty(0, np.uint64)]))[:KEPT_HASHES]
    return base64.b64encode(hashes.astype("<u8").tobytes()).decode()


def _unpacked(held: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(held), "<u8")
