"""A right configuration as a mapping, and the same with some settings changed."""

from __future__ import annotations

import copy
from typing import Any

GOOD: dict[str, Any] = {
    "name": "shop",
    "source": {
        "time_shift": "end_at_now",
        "events": {"url": "e.parquet", "columns": {"user_id": "u", "item_id": "i", "event_time": "t"}},
        "items": {"url": "i.parquet", "columns": {"item_id": "i", "department": "d", "brand": "b", "price": "p"}},
        "users": {"url": "u.parquet", "columns": {"user_id": "u", "age": "a"}},
    },
    "features": {
        "user_categorical": ["age"],
        "item_categorical": ["department", "brand"],
        "item_numeric": ["price"],
        "category": "department",
    },
    "windows": {"retrieval_end": "2020-01-01", "ranker_end": "2020-02-01", "cut": "2020-03-01"},
    "train": {},
}


def changed(**changes: Any) -> dict[str, Any]:
    """``GOOD`` with some settings, named by their path (``source__events__url``), set; ``...`` takes one away."""
    raw = copy.deepcopy(GOOD)
    for path, held in changes.items():
        *tables, name = path.split("__")
        table = raw
        for step in tables:
            table = table.setdefault(step, {})
        if held is ...:
            del table[name]
        else:
            table[name] = held
    return raw
