"""How knowledge changes: ``update(state, interaction)`` and ``row(state)``, pure and without I/O.

Everything here is a function of the *set* of a user's interactions: the newest N, exponentially decayed sums (forward
decay, Cormode et al., ICDE 2009), and sessions read off the newest N. So the order of arrival does not matter
within the lateness bound, a duplicate changes nothing, and ``etl/behaviour.py`` can compute the same from a sorted
table.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, count_column


class Interaction(NamedTuple):
    """The part of an event that behaviour features see; tuples order by time, then event id."""

    event_time: int
    event_id: str
    item_id: str
    category: str


class Outcome(str, Enum):
    """What an update did with an interaction."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclasses.dataclass(frozen=True)
class UserState:
    """A user's folded interactions.

    Attributes:
        recent: the newest N, newest first.
        counts: category -> one decayed sum per half-life, stated as of ``last_event_time``.
        known: event id -> time, of the interactions within the lateness bound: what recognises duplicates.
    """

    recent: tuple[Interaction, ...] = ()
    interaction_count: int = 0
    last_event_time: int = 0
    counts: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict[str, tuple[float, ...]])
    known: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])


EMPTY = UserState()


def update(state: UserState, new: Interaction, settings: FeatureSettings) -> tuple[UserState, Outcome]:
    """Fold one interaction in.

    An interaction older than the user's newest by more than ``lateness_hours`` is refused as late (the batch has it).
    """
    horizon = state.last_event_time - settings.lateness_hours * MS_PER_HOUR
    if new.event_time < horizon:
        return state, Outcome.LATE
    if new.event_id in state.known:
        return state, Outcome.DUPLICATE
    newest = max(state.last_event_time, new.event_time)
    recent = sorted((*state.recent, new), reverse=True)[: settings.recent_items]
    counts = _decayed(state.counts, newest - state.last_event_time, settings)
    weights = _weights(newest - new.event_time, settings)
    held = counts.get(new.category, (0.0,) * len(weights))
    counts[new.category] = tuple(a + b for a, b in zip(held, weights))
    horizon = newest - settings.lateness_hours * MS_PER_HOUR
    known = {event_id: time for event_id, time in state.known.items() if time >= horizon}
    known[new.event_id] = new.event_time
    return UserState(tuple(recent), state.interaction_count + 1, newest, counts, known), Outcome.APPLIED


def fold(log: Sequence[Interaction], settings: FeatureSettings) -> UserState:
    """The state after a whole log in one go: equal to ``update`` over ``sorted(log)``, and some hundred times faster.

    ``log`` holds each event id once.
    """
    if not log:
        return EMPTY
    ordered = sorted(log, reverse=True)
    last = ordered[0].event_time
    times = np.fromiter((x.event_time for x in ordered), np.int64, len(ordered))
    codes: dict[str, int] = {}
    index = np.fromiter((codes.setdefault(x.category, len(codes)) for x in ordered), np.int64, len(ordered))
    sums = [
        np.bincount(index, np.exp2(-(last - times) / (hours * MS_PER_HOUR)), len(codes))
        for hours in settings.count_half_lives_hours
    ]
    counts = {name: tuple(float(s[code]) for s in sums) for name, code in codes.items()}
    horizon = last - settings.lateness_hours * MS_PER_HOUR
    known = {x.event_id: x.event_time for x in ordered if x.event_time >= horizon}
    return UserState(tuple(ordered[: settings.recent_items]), len(ordered), last, counts, known)


def row(state: UserState, settings: FeatureSettings) -> dict[str, Any]:
    """The raw row of the ``user_behaviour`` view."""
    start, length = session([x.event_time for x in state.recent], settings)
    categories = sorted(state.counts)
    document: dict[str, Any] = {
        "recent_item_ids": [x.item_id for x in state.recent],
        "recent_event_times": [x.event_time for x in state.recent],
        "interaction_count": state.interaction_count,
        "last_event_time": state.last_event_time,
        "session_start_time": start,
        "session_interactions": length,
        "count_categories": categories,
    }
    for i, hours in enumerate(settings.count_half_lives_hours):
        document[count_column(hours)] = [state.counts[name][i] for name in categories]
    return document


def session(times: Sequence[int], settings: FeatureSettings) -> tuple[int, int]:
    """Start (ms) and length of the newest session of ``times`` (newest first): no gap in it is longer than the setting.

    Example:
        >>> from contracts.config import FeatureSettings
        >>> session([100_000, 90_000, 0], FeatureSettings((), ("c",), (), "c", session_gap_minutes=1))
        (90000, 2)
    """
    if not times:
        return 0, 0
    length = 1
    while length < len(times) and times[length - 1] - times[length] <= settings.session_gap_minutes * 60_000:
        length += 1
    return times[length - 1], length


def value(document: Mapping[str, Any], as_of: int, half_life_hours: int) -> npt.NDArray[np.float64]:
    """Decayed counts of a raw row as of an instant, float64 ``[categories]``, in the order of ``count_categories``."""
    held = np.asarray(document[count_column(half_life_hours)], np.float64)
    age = max(0, as_of - document["last_event_time"])
    return held * 2.0 ** (-age / (half_life_hours * MS_PER_HOUR))


def encode_state(state: UserState) -> bytes:
    """A state as JSON bytes: what the processor keeps in Redis beside the row."""
    return json.dumps(
        [1, state.recent, state.interaction_count, state.last_event_time, dict(state.counts), dict(state.known)],
        separators=(",", ":"),
    ).encode()


def decode_state(data: bytes | None) -> UserState:
    """The inverse of ``encode_state``; None is a user never seen."""
    if data is None:
        return EMPTY
    version, recent, count, last, counts, known = json.loads(data)
    if version != 1:
        raise ValueError(f"expected a user state of version 1, got {version}: rebuild the online store from the lake")
    return UserState(
        tuple(Interaction(*x) for x in recent), count, last, {k: tuple(v) for k, v in counts.items()}, known
    )


def _weights(age_ms: int, settings: FeatureSettings) -> tuple[float, ...]:
    return tuple(2.0 ** (-age_ms / (hours * MS_PER_HOUR)) for hours in settings.count_half_lives_hours)


def _decayed(
    counts: Mapping[str, tuple[float, ...]], age_ms: int, settings: FeatureSettings
) -> dict[str, tuple[float, ...]]:
    if age_ms == 0:
        return dict(counts)
    factors = _weights(age_ms, settings)
    return {name: tuple(a * b for a, b in zip(held, factors)) for name, held in counts.items()}
