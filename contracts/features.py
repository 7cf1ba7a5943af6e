"""What we know: the feature views of the online store and the ranker's inputs, derived from the settings.

A view is versioned, so that two releases that need different rows can live side by side. Batch views and stream views
are disjoint: the processor writes the stream view, Feast's materialize the batch view. The online store holds raw
values; encoding happens at serving, with the tables of the release.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.config import FeatureSettings

#: Codes of every categorical column; the catalogue's values follow from ``FIRST_VALUE`` on.
PAD, NULL, OUT_OF_VOCABULARY, FIRST_VALUE = 0, 1, 2, 3

#: What scores the whole catalogue for a user and names its best as candidates.
PROPOSING = ("two_tower", "similar", "als", "user_user")

#: All that score it, in the order of the last axis of ``candidate_scores``: the recent ones are two of these for a
#: history that fades. A source that a release does not have is one that knows nobody.
SOURCES = (*PROPOSING, "similar_recent", "als_recent")

#: What sources say of a candidate, computed by ``ensemble/steps/sources.py``: ``_score`` is standardised within the
#: request, ``_log`` the logarithm of a score as a part of the request's greatest. Cosines of towers have no such parts.
SOURCE_SIGNALS = tuple(
    f"{source}_{kind}" for source in SOURCES for kind in ("score", "log") if (source, kind) != ("two_tower", "log")
)

#: What retrieval's score is the weighted sum of (``contracts.blending.retrieval_score``), by the ranker's names.
RETRIEVAL_SIGNALS = (*SOURCE_SIGNALS, "trend")

MS_PER_MINUTE = 60_000
MINUTES_PER_DAY = 1440
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000


class ValueType(str, Enum):
    """How a raw value lies in the online store (the names of Feast's ``ValueType``)."""

    STRING = "STRING"
    INT64 = "INT64"
    STRING_LIST = "STRING_LIST"
    INT64_LIST = "INT64_LIST"
    DOUBLE_LIST = "DOUBLE_LIST"


@dataclasses.dataclass(frozen=True)
class Feature:
    """One raw value of a view; ``default`` is what a user without a row has."""

    name: str
    kind: ValueType
    doc: str
    default: Any


@dataclasses.dataclass(frozen=True)
class FeatureView:
    """A row of the online store, keyed by ``entity``."""

    name: str
    entity: str
    stream: bool
    version: int
    features: tuple[Feature, ...]
    ttl_seconds: int = 0

    @property
    def qualified_name(self) -> str:
        """The view's name in Feast and in Redis."""
        return f"{self.name}_v{self.version}"

    def empty_row(self) -> dict[str, Any]:
        """The row of a user never seen."""
        return {feature.name: feature.default for feature in self.features}


def count_column(half_life_hours: int) -> str:
    """The name of the decayed counts of one half-life."""
    return f"category_counts_{half_life_hours}h"


def popularity_column(half_life_hours: float) -> str:
    """The name of an item's popularity of one half-life.

    Example:
        >>> popularity_column(168.0), popularity_column(0.25)
        ('popularity_168h', 'popularity_0.25h')
    """
    return f"popularity_{half_life_hours:g}h"


def first_takes_column(half_life_hours: float) -> str:
    """The name of the log rate of an item's first takes, of one half-life."""
    return f"first_takes_{half_life_hours:g}h"


def covisit_column(half_life_hours: float) -> str:
    """The name of the log share of an item's co-visits with the user's newest, of one half-life."""
    return f"covisit_{half_life_hours:g}h"


def user_behaviour(settings: FeatureSettings) -> FeatureView:
    """What a user did lately: folded from the stream (``contracts.folds``), twin in ``etl/behaviour.py``."""
    strings, integers = ValueType.STRING_LIST, ValueType.INT64_LIST
    features = [
        Feature("recent_item_ids", strings, "Items of the newest interactions, newest first.", ()),
        Feature("recent_event_times", integers, "Their times, ms.", ()),
        Feature("interaction_count", ValueType.INT64, "Interactions ever.", 0),
        Feature("last_event_time", ValueType.INT64, "Time of the newest interaction, ms; 0 = never.", 0),
        Feature("session_start_time", ValueType.INT64, "Start of the newest session, ms; 0 = never.", 0),
        Feature("session_interactions", ValueType.INT64, "Interactions of the newest session.", 0),
        Feature("session_dwell_ms", ValueType.INT64, "Dwell reported since the newest session began, ms.", 0),
        Feature("count_categories", strings, f"Values of {settings.category!r} with a count, sorted.", ()),
    ]
    for hours in settings.count_half_lives_hours:
        doc = f"Interactions by category, half-life {hours} h, stated as of last_event_time."
        features.append(Feature(count_column(hours), ValueType.DOUBLE_LIST, doc, ()))
    return FeatureView("user_behaviour", "user_id", stream=True, version=2, features=tuple(features))


def user_profile(settings: FeatureSettings) -> FeatureView:
    """What is known of a user from the batch: attributes, home region, and all that was ever interacted with."""
    features = [Feature(name, ValueType.STRING, f"User attribute {name}.", "") for name in settings.user_categorical]
    features.append(Feature("home_region", ValueType.STRING, "The region of most interactions.", ""))
    features.append(
        Feature("seen_item_ids", ValueType.STRING_LIST, f"Distinct items, the newest {settings.max_seen_items}.", ())
    )
    return FeatureView("user_profile", "user_id", stream=False, version=1, features=tuple(features))


def feature_views(settings: FeatureSettings) -> tuple[FeatureView, ...]:
    """Every view, stream first."""
    return user_behaviour(settings), user_profile(settings)


def query_columns(settings: FeatureSettings) -> tuple[str, ...]:
    """Columns of the query tower's ``user_codes`` ``[batch, len]``: the id first, then attributes, then context."""
    return ("user_id", *settings.user_categorical, *settings.context)


def standardised(values: NDArray[Any], statistics: Mapping[str, float]) -> NDArray[np.float32]:
    """A numeric column as models take it, float32: by the ``mean`` and ``std`` of its encoding, 0 where unknown.

    Example:
        >>> standardised(np.array([2.0, np.nan]), {"mean": 1.0, "std": 2.0}).tolist()
        [0.5, 0.0]
    """
    scaled = (values.astype(np.float64) - statistics["mean"]) / max(statistics["std"], 1e-9)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


def activity_column(half_life_hours: int) -> str:
    """The name of all decayed interactions of a user together, of one half-life."""
    return f"activity_{half_life_hours}h"


def ranker_categorical(settings: FeatureSettings) -> tuple[str, ...]:
    """Columns of the ranker's ``categorical`` int64 ``[candidates, len]``: the query's but the id, then the item's."""
    return (*query_columns(settings)[1:], *settings.item_categorical)


def ranker_continuous(settings: FeatureSettings) -> tuple[str, ...]:
    """Columns of the ranker's ``continuous`` float32 ``[candidates, len]``, computed by ``ensemble/steps/ranker.py``.

    Scores of retrieval are standardised within the request, or said as parts of its greatest (``SOURCE_SIGNALS``), so
    that a refitted retrieval does not shift them.
    """
    popularity = [popularity_column(hours) for hours in settings.popularity_half_lives_hours]
    counts = [f"category_share_{hours}h" for hours in settings.count_half_lives_hours]
    covisits = [covisit_column(hours) for hours in settings.covisit_half_lives_hours]
    covisits += ["covisit_earlier", "covisit_evidence"] if covisits else []
    moment = ["trending"] if settings.bucket_minutes < MINUTES_PER_DAY else []
    live = ["item_age"] if settings.live_items else []
    recent = [f"recent_share_{name}" for name in settings.item_categorical]
    seen = [f"seen_share_{name}" for name in settings.item_categorical]
    number = [f"seen_count_{name}" for name in settings.item_categorical]
    trends = [f"trend_{name}" for name in settings.item_categorical]
    firsts = [first_takes_column(hours) for hours in settings.popularity_half_lives_hours]
    firsts += [f"first_takes_{name}" for name in settings.item_categorical]
    activity = [activity_column(hours) for hours in settings.count_half_lives_hours]
    return (
        *SOURCE_SIGNALS,
        *popularity,
        "trend",
        *trends,
        *(firsts if settings.first_takes else []),
        *moment,
        *covisits,
        *live,
        *counts,
        *recent,
        *seen,
        *number,
        *activity,
        "evidence",
        "session_dwell",
        *settings.item_numeric,
    )
