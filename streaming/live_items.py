"""States of items in the online store (``contracts/item_state.py``), written in the transaction of their batch."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from contracts import item_state
from contracts.config import FeatureSettings
from contracts.events import Event
from contracts.item_state import ItemState
from streaming import updates


def changed(client: Any, events: Iterable[Event], settings: FeatureSettings) -> dict[str, ItemState]:
    """What updates make of the states that are stored; of no states at all without a client."""
    events = list(events)
    names = list(dict.fromkeys(event.item_id for event in events if event.item_id is not None))
    held = client.hmget(item_state.KEY, names) if names and client is not None else [None] * len(names)
    states = {name: item_state.decode(data) for name, data in zip(names, held) if data is not None}
    return updates.changed_items(states, events, settings)


def put(pipe: Any, states: Mapping[str, ItemState], anew: bool = False) -> None:
    """Put changed states into a pipeline, and another version where any reader must look again."""
    if states:
        pipe.hset(item_state.KEY, mapping={name: item_state.encode(state) for name, state in states.items()})
    if states or anew:
        pipe.set(item_state.VERSION, secrets.token_hex(8))
