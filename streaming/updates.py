"""What the processor does with records, without I/O: bytes in, new states and figures out."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from contracts.config import FeatureSettings
from contracts.events import INTERACTIONS
from contracts.folds import EMPTY, Interaction, UserState, update
from streaming.codec import UndecodableError, decode

log = logging.getLogger(__name__)

#: Outcomes beside those of ``contracts.folds.Outcome``.
UNDECODABLE, NO_INTERACTION = "undecodable", "no_interaction"
_KINDS = frozenset(kind.value for kind in INTERACTIONS)


class Update(NamedTuple):
    """One interaction and whose it is."""

    user_id: str
    interaction: Interaction


@dataclasses.dataclass(frozen=True)
class Changes:
    """What a batch changes.

    Attributes:
        states: the new state of each user that changed.
        outcomes: how many records ended how.
    """

    states: Mapping[str, UserState]
    outcomes: Counter[str]


def interactions(values: Iterable[bytes | None], categories: Mapping[str, str]) -> tuple[list[Update], Counter[str]]:
    """The interactions among a batch of records, in their order, and how many records were none.

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
        elif event.user_id is None or event.item_id is None:
            log.error("passed over event %s: a %s needs user_id and item_id", event.event_id, event.event_type)
            passed[UNDECODABLE] += 1
        else:
            category = categories.get(event.item_id, "")
            found.append(Update(event.user_id, Interaction(event.event_time, event.event_id, event.item_id, category)))
    return found, passed


def apply(states: Mapping[str, UserState], batch: Sequence[Update], settings: FeatureSettings) -> Changes:
    """Fold a batch into the states of its users (a user that is not in ``states`` is new)."""
    changed: dict[str, UserState] = {}
    outcomes = Counter[str]()
    for user_id, interaction in batch:
        before = changed.get(user_id) or states.get(user_id, EMPTY)
        after, outcome = update(before, interaction, settings)
        outcomes[outcome.value] += 1
        if after is not before:
            changed[user_id] = after
    return Changes(changed, outcomes)
