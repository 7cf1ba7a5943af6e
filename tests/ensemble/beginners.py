"""Rows of window "cold" as the etl would leave them: of users as if nobody knew them, with what they had excluded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from contracts.features import FIRST_VALUE, feature_views

if TYPE_CHECKING:
    from tests.ensemble.made_up import World

NUMBER = 3


def beginners(world: World, start: int) -> dict[str, Any]:
    """Columns of a few users' rows at an instant, and what they took from then on."""
    users = [user for user in range(10) if world.log(user, start)][:NUMBER]
    views = feature_views(world.config.features)
    nobody = {feature.name: feature.default for view in views for feature in view.features}
    rows, later = world.raw([(user, start) for user in users]), world.time >= start
    taken = [sorted({int(item) + FIRST_VALUE for item in world.item[(world.user == user) & later]}) for user in users]
    unknown = ("seen_item_ids", "recent_item_ids", "recent_event_times", "interaction_count")
    return {
        **rows,
        **{name: [nobody[name]] * NUMBER for name in unknown},
        "row_id": np.arange(NUMBER),
        "person": rows["user_id"],
        "user_id": [f"cold:{user}" for user in rows["user_id"]],
        "exclude_item_ids": rows["seen_item_ids"],
        "target_item_codes": pa.array(taken, pa.list_(pa.int32())),
    }
