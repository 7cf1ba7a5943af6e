"""What the processor does with records, without I/O: bytes in, new states, counts and figures out."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from contracts import item_state
from contracts.buckets import Bucket, Counted, bucket_of, fold
from contracts.config import FeatureSettings
from contracts.events import INTERACTIONS, Event, EventType
from contracts.folds import EMPTY, Dwell, Interaction, Outcome, UserState, dwell_ms, update
from contracts.item_state import ItemState
from streaming.catalogue import Catalogue
from streaming.codec import UndecodableError, decode

log = logging.getLogger(__name__)

#: Outcomes beside those of ``contracts.folds.Outcome``.
UNDECODABLE, NO_INTERACTION = "undecodable", "no_interaction"
_KINDS = frozenset(kind.value for kind in INTERACTIONS | {EventType.DWELL})


class Update(NamedTuple):
    """One event that is folded: whose it is, where it happened, and the partition of the topic that brought it."""

    user_id: str
    event: Interaction | Dwell
    region: str | None = None
    partition: int = 0

    def counted(self, settings: FeatureSettings) -> tuple[int, Bucket] | None:
        """Its time and bucket (``contracts.buckets``); None when it is no interaction."""
        if isinstance(self.event, Dwell):
            return None
        return self.event.event_time, bucket_of(self.event.event_time, self.region, self.event.item_id, settings)


class Foldable(NamedTuple):
    """What of a batch of records is folded.

    Attributes:
        batch: the interactions and dwell reports, in their order.
        items: the updates of items.
        passed: how many records were no interaction, by why.
    """

    batch: list[Update]
    items: list[Event]
    passed: Counter[str]


@dataclasses.dataclass(frozen=True)
class Changes:
    """What a batch changes.

    Attributes:
        states: the new state of each user that changed.
        outcomes: how many records ended how.
        counted: what each partition adds to the counts by bucket.
    """

    states: Mapping[str, UserState]
    outcomes: Counter[str]
    counted: Mapping[int, Counted]


def foldable(
    values: Iterable[bytes | None], catalogue: Catalogue, partitions: Iterable[int] = itertools.repeat(0)
) -> Foldable:
    """What is folded of a batch of records.

    Args:
        values: the records' bytes in wire format.
        catalogue: takes the batch's updates of items in before anything else: those of one partition may lie behind
            interactions of another that came after them.
        partitions: where each record lay.
    """
    found, passed = [], Counter[str]()
    events = [(_decoded(value), partition) for value, partition in zip(values, partitions)]
    items = _learn((event for event, _ in events), catalogue)
    for event, partition in events:
        if event is None:
            passed[UNDECODABLE] += 1
            continue
        if event.event_type not in _KINDS:
            passed[NO_INTERACTION] += 1
            continue
        folded = _folded(event, catalogue)
        if folded is None or event.user_id is None:
            log.error("passed over event %s: a %s lacks what its type requires", event.event_id, event.event_type)
            passed[UNDECODABLE] += 1
        else:
            found.append(Update(event.user_id, folded, event.region, partition))
    return Foldable(found, items, passed)


def learn(values: Iterable[bytes | None], catalogue: Catalogue) -> None:
    """Take only the updates of items in, of records that were folded in before."""
    _learn(map(_decoded, values), catalogue)


def _learn(events: Iterable[Event | None], catalogue: Catalogue) -> list[Event]:
    """The updates of items among events, taken in."""
    found = [event for event in events if event is not None and event.event_type == EventType.ITEM_UPDATE]
    for event in found:
        catalogue.change(event)
    return found


def changed_items(
    states: Mapping[str, ItemState], events: Iterable[Event], settings: FeatureSettings
) -> dict[str, ItemState]:
    """The states of those items that updates change, given the states that items have had."""
    kept = item_state.attributes(settings)
    changed: dict[str, ItemState] = {}
    for event in events:
        if event.item_id is None:
            continue
        before = changed.get(event.item_id, states.get(event.item_id, {}))
        after = item_state.change(before, event, kept)
        if after != before:
            changed[event.item_id] = after
    return changed


def _decoded(value: bytes | None) -> Event | None:
    """None when a record is no event."""
    try:
        return decode(value)
    except UndecodableError as error:
        log.error("passed over a record that is no event: %s", error)
        return None


def _folded(event: Event, catalogue: Catalogue) -> Interaction | Dwell | None:
    """None when a field is missing without which the event says nothing."""
    if event.item_id is None:
        return None
    if event.event_type != EventType.DWELL:
        category = catalogue.at(event.item_id, event.event_time)
        return Interaction(event.event_time, event.event_id, event.item_id, category)
    return None if event.value is None else Dwell(event.event_time, event.event_id, dwell_ms(event.value))


def apply(
    states: Mapping[str, UserState],
    batch: Sequence[Update],
    settings: FeatureSettings,
    newest: Mapping[int, int],
) -> Changes:
    """Fold a batch into the states of its users and into the counts by bucket.

    Args:
        states: of the users; one that is not there is new.
        batch: in the order of arrival.
        settings: of the folds.
        newest: partition -> time of its newest interaction so far, ms.
    """
    changed: dict[str, UserState] = {}
    outcomes = Counter[str]()
    counted: dict[int, list[tuple[int, Bucket]]] = {}
    for each in batch:
        before = changed.get(each.user_id) or states.get(each.user_id, EMPTY)
        after, outcome = update(before, each.event, settings)
        outcomes[outcome.value] += 1
        if outcome is Outcome.APPLIED:
            changed[each.user_id] = after
            # The user's state knows the ids: what it refuses is not counted either.
            if seen := each.counted(settings):
                counted.setdefault(each.partition, []).append(seen)
    added = {partition: fold(newest.get(partition, 0), log, settings) for partition, log in counted.items()}
    return Changes(changed, outcomes, added)
