"""What ``item_update`` events said of an item since the release was made, as it lies in Redis.

One hash, ``KEY``, holds a JSON document for every item that was ever updated; ``VERSION`` names what the hash holds and
is another text after every change. The processor writes both with its position, serving reads them once a second. Of
each attribute the newest word counts, by the event's time and then its id: so updates may be folded in any order, and
again. Without I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contracts.config import FeatureSettings
from contracts.events import Event

KEY, VERSION = "trireme:items", "trireme:items:version"
#: Attributes with a meaning of their own; ``PRICE`` is a feature as well where a data set has it.
AVAILABLE, PRICE = "available", "price"
#: The words that ``AVAILABLE`` takes.
YES, NO = "true", "false"


class Said(NamedTuple):
    """The newest word on an attribute: when (ms) and by which event it was said."""

    time: int
    event_id: str
    value: str


#: Attribute -> what was said of it.
ItemState = Mapping[str, Said]


def attributes(settings: FeatureSettings) -> tuple[str, ...]:
    """The attributes that are kept: by which items are filtered and ruled out, their price and if they are there."""
    return (*dict.fromkeys((*settings.item_categorical, PRICE, AVAILABLE)),)


def change(state: ItemState, event: Event, kept: Iterable[str]) -> ItemState:
    """An item's state after an ``item_update``; what says nothing that can be understood changes nothing.

    Example:
        >>> update = Event("e1", "item_update", 5, item_id="i", attributes={"available": "false", "colour": "red"})
        >>> change({}, update, ["available"])
        {'available': Said(time=5, event_id='e1', value='false')}
    """
    said = event.attributes or {}
    fresh = {
        name: Said(event.event_time, event.event_id, said[name])
        for name in kept
        if name in said and understood(name, said[name])
    }
    return {**state, **{name: max(new, state.get(name, new)) for name, new in fresh.items()}}


def understood(name: str, value: str) -> bool:
    """Whether an attribute may have a value: a price is a number from 0 on, availability is one of two words."""
    if name == AVAILABLE:
        return value in (YES, NO)
    return name != PRICE or price_of(value) is not None


def price_of(value: str) -> float | None:
    """The number, or None when a text is no price."""
    try:
        price = float(value)
    except ValueError:
        return None
    return price if 0 <= price < math.inf else None


def encode(state: ItemState) -> bytes:
    """The document of one item: attribute -> [time, event id, value]."""
    return json.dumps({name: list(said) for name, said in state.items()}, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Said]:
    """The inverse of ``encode``.

    Raises:
        ValueError: when the bytes are no such document.
    """
    raw = json.loads(data)
    if not isinstance(raw, dict):
        raise ValueError(f"expected an item's state, got {data[:64]!r}")
    return {name: _said(held) for name, held in raw.items()}


def _said(held: object) -> Said:
    if not isinstance(held, list) or [type(part) for part in held] != [int, str, str]:
        raise ValueError(f"expected [time, event id, value], got {held!r}")
    return Said(*held)


def values(state: ItemState) -> dict[str, str]:
    """Attribute -> its newest value."""
    return {name: said.value for name, said in state.items()}
