"""What the contracts derive from a data set's settings, written into ``release.json`` for the C++ twin of the steps.

So the twin (``ensemble/backend/``) needs no second copy of what names, orders and lays out features.
"""

from __future__ import annotations

from typing import Any

from contracts.config import FeatureSettings
from contracts.features import feature_views, query_columns, ranker_categorical, ranker_continuous
from contracts.online_layout import fields
from contracts.request_context import Clock


def derived(settings: FeatureSettings) -> dict[str, Any]:
    """Columns by name in their order, and every feature of a raw row with its hash field (bytes) and default."""
    views = feature_views(settings)
    row = [
        {"name": feature.name, "kind": feature.kind.value, "field": list(field), "default": feature.default}
        for view in views
        for feature, field in zip(view.features, fields(view))
    ]
    return {
        "entity": views[0].entity,
        "row": row,
        "clock": Clock(settings.timezone, 0).changes() if settings.context else [(0, 0)],
        "query_columns": query_columns(settings),
        "ranker_categorical": ranker_categorical(settings),
        "ranker_continuous": ranker_continuous(settings),
    }
