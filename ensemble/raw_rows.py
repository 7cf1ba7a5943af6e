"""Point-in-time rows of the features zone as the raw rows that serving reads from the online store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from contracts.config import FeatureSettings
from contracts.errors import ArtifactError
from contracts.features import feature_views


def columns(settings: FeatureSettings) -> list[str]:
    """The raw features of all views."""
    return [feature.name for view in feature_views(settings) for feature in view.features]


def batches(table: pa.Table, settings: FeatureSettings, size: int) -> Iterator[tuple[pa.Table, list[dict[str, Any]]]]:
    """Slices of at most ``size`` rows, each with its raw rows; null is the feature's default.

    Raises:
        ArtifactError: when the table lacks a raw feature.
    """
    defaults = {feature.name: feature.default for view in feature_views(settings) for feature in view.features}
    absent = [name for name in defaults if name not in table.column_names]
    if absent:
        raise ArtifactError(f"expected raw features {', '.join(absent)} among the rows' columns: run etl again")
    for start in range(0, table.num_rows, size):
        part = table.slice(start, size)
        rows = part.select(list(defaults)).to_pylist()
        yield (
            part,
            [{name: default if row[name] is None else row[name] for name, default in defaults.items()} for row in rows],
        )
