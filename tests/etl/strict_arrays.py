"""A stand-in for CuPy where there is no GPU: arrays and functions that refuse what CuPy 12.3 refuses or has not.

Read in CuPy 12.3.0: ``cupy/_sorting``, ``_math/sumprod.py``, ``_statistics/histogram.py``, ``_creation``,
``_core/_routines_manipulation.pyx``, ``_core/_routines_math.pyx``. What it does not show: speed, memory, kernels.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

#: Functions of CuPy 12.3 with NumPy's signature, as far as the etl calls them.
FUNCTIONS = (
    *("arange", "asarray", "empty", "full", "ones", "zeros"),
    *("argsort", "concatenate", "cumsum", "flatnonzero", "searchsorted", "bincount"),
    *("exp2", "maximum", "minimum", "where"),
)


class StrictArray:
    """A device's array: no implicit way to the host, no mixing with NumPy's, and only the methods listed here."""

    __array_ufunc__ = None
    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __init__(self, held: Any):
        self.held = np.asarray(held)

    def get(self) -> np.ndarray:
        return self.held

    def astype(self, dtype: Any) -> StrictArray:
        return StrictArray(self.held.astype(dtype))

    def min(self) -> StrictArray:
        return StrictArray(self.held.min())

    def max(self) -> StrictArray:
        return StrictArray(self.held.max())

    def __len__(self) -> int:
        return len(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __getitem__(self, key: Any) -> StrictArray:
        return StrictArray(self.held[plain(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if value is not self:
            self.held[plain(key)] = plain(value)

    def __invert__(self) -> StrictArray:
        return StrictArray(~self.held)

    def __neg__(self) -> StrictArray:
        return StrictArray(-self.held)

    def __iter__(self) -> Any:
        raise TypeError("one element at a time is a copy to the host each")

    def __array__(self, *_: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")


def plain(value: Any) -> Any:
    """What an array function may be given: a device's array, a Python number or a slice."""
    if isinstance(value, StrictArray):
        return value.held
    if value is None or isinstance(value, (bool, int, float, slice)):
        return value
    raise TypeError(f"a device's array does not work with {type(value)}")


def _operator(name: str) -> None:
    function = getattr(operator, name)

    def forward(self: StrictArray, other: Any) -> StrictArray:
        return StrictArray(function(self.held, plain(other)))

    def backward(self: StrictArray, other: Any) -> StrictArray:
        return StrictArray(function(plain(other), self.held))

    def in_place(self: StrictArray, other: Any) -> StrictArray:
        self.held = getattr(operator, f"i{name.strip('_')}")(self.held, plain(other))
        return self

    word = name.strip("_")
    setattr(StrictArray, f"__{word}__", forward)
    if word not in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(StrictArray, f"__r{word}__", backward)
        setattr(StrictArray, f"__i{word}__", in_place)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "and_", "or_", "eq", "ne", "lt", "le", "gt", "ge"):
    _operator(_name)


class StrictModule:
    """``FUNCTIONS``, and nothing else."""

    def __getattr__(self, name: str) -> Any:
        if name not in FUNCTIONS:
            raise AttributeError(f"{name} is not among the functions read in CuPy 12.3")
        return getattr(self, f"_{name}", None) or self._like_numpy(name)

    @staticmethod
    def _like_numpy(name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> StrictArray:
            values = [[plain(x) for x in a] if isinstance(a, list) else plain(a) for a in arguments[:3]]
            return StrictArray(getattr(np, name)(*values, **options))

        return call

    @staticmethod
    def _asarray(value: Any) -> StrictArray:
        return value if isinstance(value, StrictArray) else StrictArray(value)

    @staticmethod
    def _full(length: int, value: int) -> StrictArray:
        return StrictArray(np.full(length, value))

    @staticmethod
    def _zeros(length: int, dtype: Any = float) -> StrictArray:
        return StrictArray(np.zeros(length, dtype))

    @staticmethod
    def _ones(length: int, dtype: Any = float) -> StrictArray:
        return StrictArray(np.ones(length, dtype))

    @staticmethod
    def _empty(length: int, dtype: Any = float) -> StrictArray:
        return StrictArray(np.full(length, 77, dtype))

    @staticmethod
    def _searchsorted(a: StrictArray, v: StrictArray, side: str = "left") -> StrictArray:
        if not (isinstance(a, StrictArray) and isinstance(v, StrictArray)):
            raise TypeError("only arrays, on both sides")
        return StrictArray(np.searchsorted(a.held, v.held, side))  # pyright: ignore[reportArgumentType]

    @staticmethod
    def _bincount(x: StrictArray, minlength: int = 0) -> StrictArray:
        if not len(x):
            raise ValueError("zero-size array to reduction operation cupy_max")
        return StrictArray(np.bincount(plain(x), minlength=minlength))

    @staticmethod
    def _argsort(a: StrictArray, kind: str | None = None) -> StrictArray:
        if kind not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")
        return StrictArray(np.argsort(plain(a), kind="stable"))
