"""Where arrays lie: in NumPy's memory, or in a GPU's (CuPy) where cuDF is the dataframe library.

The partition functions are written once, against ``arrays()`` and what is here for the few things that CuPy has not or
has otherwise. Text never goes to the device: it is numbered on the way in (Arrow, on the host), and numbers become text
again on the way out. **Not run on a GPU**: tests/etl/test_device.py holds the code to functions of CuPy 12.3, read in
its source, and runs it on stand-ins that refuse what a device array refuses.
"""

# pyright: reportAttributeAccessIssue=false, reportMissingImports=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them; CuPy and cuDF come with RAPIDS)

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: An array of the module that ``arrays`` returns.
Array = Any
#: Below this, integers sort by radix in NumPy: 15 times faster than int64.
_SMALL = 1 << 16


@functools.cache
def arrays() -> Any:
    """The array module: ``cupy`` where Merlin works on cuDF, else ``numpy``."""
    if importlib.util.find_spec("cudf") is None:
        return np  # without asking Merlin, whose import takes seconds
    from merlin.core.dispatch import get_lib

    if get_lib().__name__ != "cudf":
        return np
    import cupy

    return cupy


def to_host(array: Array) -> np.ndarray:
    """An array as NumPy's; no copy when it is one."""
    return array if isinstance(array, np.ndarray) else array.get()


def numbered(column: pa.ChunkedArray) -> tuple[np.ndarray, Array]:
    """Text as (sorted distinct texts on the host, int64 numbers into them); null counts as ""."""
    encoded = pc.dictionary_encode(pc.fill_null(column, "")).combine_chunks()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    names = np.array(encoded.dictionary.to_pylist(), object)[order]
    return names, arrays().asarray(rank[encoded.indices.to_numpy()])


def numbers(column: pa.ChunkedArray) -> Array:
    """An Arrow column of numbers without nulls as an array."""
    return arrays().asarray(column.to_numpy())


def strings(names: Sequence[str] | np.ndarray, number: Array) -> pa.Array:
    """Names by number, as Arrow strings."""
    return pa.array(names, pa.string()).take(pa.array(to_host(number)))


def lists(values: Array | pa.Array, sizes: Array, kind: pa.DataType | None = None) -> pa.Array:
    """Flat values, cast to ``kind`` when it is given, cut into Arrow lists of the given sizes."""
    flat = values if isinstance(values, pa.Array) else pa.array(to_host(values), kind)
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(to_host(sizes), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def order_by(*keys: Array) -> Array:
    """Positions in rising order of the keys, the first being the strongest; equals keep their order.

    One stable sort a key, the weakest first: CuPy's ``lexsort`` wants one type for all, and NumPy's knows no radix.
    """
    xp = arrays()
    order = None
    for key in reversed(keys):
        if len(key) and int(key.min()) >= 0 and int(key.max()) < _SMALL:
            key = key.astype(np.uint16)
        within = xp.argsort(key if order is None else key[order], kind="stable")
        order = within if order is None else order[within]
    return order


def repeat(values: Array, sizes: Array) -> Array:
    """Each value as often as its size says (CuPy's ``repeat`` takes no array of counts)."""
    xp = arrays()
    if xp is np:
        return np.repeat(values, sizes)
    ends = xp.cumsum(sizes)
    total = int(ends[-1]) if len(sizes) else 0
    return values[xp.searchsorted(ends, xp.arange(total), side="right")]


def ranges(low: Array, sizes: Array) -> Array:
    """The positions of many ranges, ``low`` rising by one, one range after the other.

    Example:
        >>> ranges(np.array([3, 7]), np.array([2, 1]))
        array([3, 4, 7])
    """
    ends = arrays().cumsum(sizes)
    return repeat(low - ends + sizes, sizes) + arrays().arange(int(ends[-1]) if len(sizes) else 0)


def falling_ranges(high: Array, sizes: Array) -> Array:
    """The positions of many ranges, each from ``high - 1`` downwards, one range after the other.

    Example:
        >>> falling_ranges(np.array([5, 8]), np.array([2, 1]))
        array([4, 3, 7])
    """
    ends = arrays().cumsum(sizes)
    return repeat(high - 1 + ends - sizes, sizes) - arrays().arange(int(ends[-1]) if len(sizes) else 0)


def counted(numbers: Array, length: int) -> Array:
    """How often each of ``0..length - 1`` occurs, int64 (CuPy's ``bincount`` refuses an empty array)."""
    xp = arrays()
    return xp.bincount(numbers, minlength=length) if len(numbers) else xp.zeros(length, np.int64)


def changes(keys: Array) -> Array:
    """Where a run of equal keys begins, bool ``[n]``."""
    first = arrays().ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    return first


def run_starts(first: Array) -> Array:
    """For every element the position at which its run began; ``first`` says where runs begin, the first element does.

    Example:
        >>> run_starts(np.array([True, False, True]))
        array([0, 0, 2])
    """
    xp = arrays()
    return xp.flatnonzero(first)[xp.cumsum(first) - 1]


def running_max(values: Array) -> Array:
    """The greatest value so far, by doubling where ``maximum`` has no ``accumulate`` (CuPy)."""
    xp = arrays()
    if xp is np:
        return np.maximum.accumulate(values)
    step, out = 1, values
    while step < len(out):
        out = xp.concatenate([out[:step], xp.maximum(out[step:], out[:-step])])
        step *= 2
    return out
