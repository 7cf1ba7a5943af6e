"""One person's raw row out of two: of a user, and of the anonymous id under which he was seen before he was known.

As if the events of both had been folded into one user (``contracts.folds``), as far as rows can say it. They cannot:

- order interactions of the same instant (the user's come first, where a fold goes by event id);
- know an event that was sent under both ids: it counts twice;
- give the dwell of a session that only both together make: a row holds the dwell since its own newest session began, so
  what was reported before that is missing, and what belongs to an older session of one of them counts nothing;
- date what the batch has seen: the user's items come first, and ``max_seen_items`` cuts at the anonymous id's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, count_column
from contracts.folds import session


def merge(user: Mapping[str, Any], anonymous: Mapping[str, Any], settings: FeatureSettings) -> dict[str, Any]:
    """The row of both; what only one of them has (attributes, home region) is the user's first.

    Raises:
        ValueError: when the lists of a row do not fit each other.
    """
    both = user, anonymous
    recent = sorted((taken for row in both for taken in _recent(row, settings)), key=lambda x: -x[1])
    recent = recent[: settings.recent_items]
    start, length = session([time for _, time in recent], settings)
    attributes = (*settings.user_categorical, "home_region")
    return {
        **{name: user[name] or anonymous[name] for name in attributes},
        "recent_item_ids": [item for item, _ in recent],
        "recent_event_times": [time for _, time in recent],
        "interaction_count": sum(row["interaction_count"] for row in both),
        "last_event_time": max(row["last_event_time"] for row in both),
        "session_start_time": start,
        "session_interactions": length,
        "session_dwell_ms": sum(
            row["session_dwell_ms"] for row in both if length and row["session_start_time"] >= start
        ),
        "seen_item_ids": list(dict.fromkeys([*user["seen_item_ids"], *anonymous["seen_item_ids"]]))[
            : settings.max_seen_items
        ],
        **_counts(both, settings),
    }


def _recent(row: Mapping[str, Any], settings: FeatureSettings) -> list[tuple[str, int]]:
    """Items and times, as many as are kept."""
    items, times = (row[name][: settings.recent_items] for name in ("recent_item_ids", "recent_event_times"))
    if len(items) != len(times):
        raise ValueError("expected as many recent_event_times as recent_item_ids in a row")
    return list(zip(items, times))


def _counts(rows: Sequence[Mapping[str, Any]], settings: FeatureSettings) -> dict[str, list[Any]]:
    """Counts by category, each decayed to the newest interaction of all rows, and added."""
    categories = sorted({name for row in rows for name in row["count_categories"]})
    found: dict[str, list[Any]] = {"count_categories": categories}
    last = max(row["last_event_time"] for row in rows)
    for hours in settings.count_half_lives_hours:
        sums = dict.fromkeys(categories, 0.0)
        for row in rows:
            factor = 2.0 ** (-(last - row["last_event_time"]) / (hours * MS_PER_HOUR))
            for name, count in zip(row["count_categories"], row[count_column(hours)], strict=True):
                sums[name] += count * factor
        found[count_column(hours)] = list(sums.values())
    return found
