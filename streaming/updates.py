"""What the processor does with records, without I/O: bytes in, new states and figures out."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from contracts.config import FeatureSettings
from contracts.events import INTERACTIONS, Event, EventType
from contracts.folds import EMPTY, Dwell, Interaction, UserState, dwell_ms, update
from streaming.codec import UndecodableError, decode

log = logging.getLogger(__name__)

#: Outcomes beside those of ``contracts.folds.Outcome``.
UNDECODABLE, NO_INTERACTION = "undecodable", "no_interaction"
_KINDS = frozenset(kind.value for kind in INTERACTIONS | {EventType.DWELL})


class Update(NamedTuple):
    """One event that is folded, and whose it is."""

    user_id: str
    event: Interaction | Dwell


@dataclasses.dataclass(frozen=True)
class Changes:
    """What a batch changes.

    Attributes:
        states: the new state of each user that changed.
        outcomes: how many records ended how.
    """

    states: Mapping[str, UserState]
    outcomes: Counter[str]


def foldable(values: Iterable[bytes | None], categories: Mapping[str, str]) -> tuple[list[Update], Counter[str]]:
    """The interactions and dwell reports among a batch of records, in their order, and how many records were neither.

    Args:
        values: the records' bytes in wire format.
        categories: item id -> category; an item without one counts under "".
    """
    found, passed = [], Counter[str]()
    for value in values:
        try:
            event = decode(value)
        except UndecodableError as error:
            log.error("passed over a record that is no event: %s", error)
            passed[UNDECODABLE] += 1
            continue
        if event.event_type not in _KINDS:
            passed[NO_INTERACTION] += 1
            continue
        update_of = _update(event, categories)
        if update_of is None:
            log.error("passed over event %s: a %s lacks what its type requires", event.event_id, event.event_type)
            passed[UNDECODABLE] += 1
        else:
            found.append(update_of)
    return found, passed


def _update(event: Event, categories: Mapping[str, str]) -> Update | None:
    """None when a field is missing without which the event says nothing."""
    if event.user_id is None or event.item_id is None:
        return None
    if event.event_type != EventType.DWELL:
        category = categories.get(event.item_id, "")
        return Update(event.user_id, Interaction(event.event_time, event.event_id, event.item_id, category))
    if event.value is None:
        return None
    return Update(event.user_id, Dwell(event.event_time, event.event_id, dwell_ms(event.value)))


def apply(states: Mapping[str, UserState], batch: Sequence[Update], settings: FeatureSettings) -> Changes:
    """Fold a batch into the states of its users (a user that is not in ``states`` is new)."""
    changed: dict[str, UserState] = {}
    outcomes = Counter[str]()
    for user_id, event in batch:
        before = changed.get(user_id) or states.get(user_id, EMPTY)
        after, outcome = update(before, event, settings)
        outcomes[outcome.value] += 1
        if after is not before:
            changed[user_id] = after
    return Changes(changed, outcomes)
