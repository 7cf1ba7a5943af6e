"""Raw values -> codes by ``encodings.json``: what the saved NVTabular workflow gives, without NVTabular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY

#: Column -> its vocabulary by code, or ``{"mean", "std"}`` of a numeric column.
Encodings = dict[str, Any]


def codes(values: Any, vocabulary: Sequence[str]) -> np.ndarray:
    """Codes int64 of raw values by one column's vocabulary.

    Example:
        >>> codes(["b", "", None, "z"], ["a", "b"])
        array([4, 1, 1, 2])
    """
    series = pd.Series(values, dtype=object)
    found = pd.Index(vocabulary, dtype=object).get_indexer(series)
    known = np.where(found >= 0, found + FIRST_VALUE, OUT_OF_VOCABULARY)
    return np.where(series.isna() | (series == ""), NULL, known).astype(np.int64)
