"""What the feature views should hold, computed slowly from the log."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contracts import folds
from contracts.features import count_column, user_behaviour


def assert_views(row: object, past: pd.DataFrame, settings: object, seen: bool) -> None:
    interactions = [
        folds.Interaction(int(time), event_id, item, category)
        for time, event_id, item, category in past[["event_time", "event_id", "item_id", "department"]].to_numpy()
    ]
    expected = folds.row(folds.fold(interactions, settings), settings)
    for feature in user_behaviour(settings).features:
        found, value = getattr(row, feature.name), expected[feature.name]
        if feature.name in {count_column(hours) for hours in settings.count_half_lives_hours}:
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
        else:
            assert (list(found) if isinstance(value, list) else found) == value, feature.name
    assert row.home_region == home_region(past)
    assert list(row.seen_item_ids) == (seen_items(past) if seen else [])


def home_region(events: pd.DataFrame) -> str:
    """The region of most events; of equals, the one that got there first."""
    held: dict[str, int] = {}
    leader = ""
    for region in events["region"].dropna():
        held[region] = held.get(region, 0) + 1
        if held[region] > held.get(leader, 0):
            leader = region
    return leader


def seen_items(events: pd.DataFrame) -> list[str]:
    return events["item_id"].iloc[::-1].drop_duplicates().tolist()
