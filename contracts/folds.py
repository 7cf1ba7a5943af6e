"""How knowledge changes: ``update(state, event)`` and ``row(state)``, pure and without I/O.

Everything here is a function of the *set* of a user's events: the newest N, exponentially decayed sums (forward
decay, Cormode et al., ICDE 2009), sessions read off the newest N, and the dwell reported since the newest began. So the
order of arrival does not matter within the lateness bound, a duplicate changes nothing, and ``etl/behaviour.py`` can
compute the same from a sorted table.
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
from contracts.features import MS_PER_DAY, MS_PER_HOUR, count_column

#: Of ``encode_state``: another one means that the online store must be rebuilt.
STATE_VERSION = 2


class Interaction(NamedTuple):
    """The part of an event that behaviour features see; tuples order by time, then event id."""

    event_time: int
    event_id: str
    item_id: str
    category: str


class Dwell(NamedTuple):
    """A report of time spent, as behaviour features see it: no interaction, so it neither starts nor extends a session.

    ``ms`` is that of ``dwell_ms``; tuples order by time, then event id.
    """

    event_time: int
    event_id: str
    ms: int


class Outcome(str, Enum):
    """What an update did with an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclasses.dataclass(frozen=True)
class UserState:
    """A user's folded events.

    Attributes:
        recent: the newest N interactions, newest first.
        interaction_count: interactions ever.
        last_event_time: of the newest interaction, ms.
        counts: category -> one decayed sum per half-life, stated as of ``last_event_time``.
        known: event id -> time, of the events within the lateness bound: what recognises duplicates.
        dwells: the newest N reports of dwell, newest first.
    """

    recent: tuple[Interaction, ...] = ()
    interaction_count: int = 0
    last_event_time: int = 0
    counts: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict[str, tuple[float, ...]])
    known: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    dwells: tuple[Dwell, ...] = ()

    @property
    def newest(self) -> int:
        """Time of the newest event of either kind, ms: what lateness is measured against."""
        return max(self.last_event_time, self.dwells[0].event_time) if self.dwells else self.last_event_time


EMPTY = UserState()


def update(state: UserState, new: Interaction | Dwell, settings: FeatureSettings) -> tuple[UserState, Outcome]:
    """Fold one event in.

    An event older than the user's newest by more than ``lateness_hours`` is refused as late (the batch has it).
    """
    bound = settings.lateness_hours * MS_PER_HOUR
    if new.event_time < state.newest - bound:
        return state, Outcome.LATE
    if new.event_id in state.known:
        return state, Outcome.DUPLICATE
    horizon = max(state.newest, new.event_time) - bound
    known = {event_id: time for event_id, time in state.known.items() if time >= horizon}
    known[new.event_id] = new.event_time
    if isinstance(new, Dwell):
        dwells = sorted((*state.dwells, new), reverse=True)[: settings.recent_items]
        return dataclasses.replace(state, known=known, dwells=tuple(dwells)), Outcome.APPLIED
    last = max(state.last_event_time, new.event_time)
    recent = sorted((*state.recent, new), reverse=True)[: settings.recent_items]
    counts = _decayed(state.counts, last - state.last_event_time, settings)
    weights = _weights(last - new.event_time, settings)
    held = counts.get(new.category, (0.0,) * len(weights))
    counts[new.category] = tuple(a + b for a, b in zip(held, weights))
    return UserState(tuple(recent), state.interaction_count + 1, last, counts, known, state.dwells), Outcome.APPLIED


def fold(log: Sequence[Interaction | Dwell], settings: FeatureSettings) -> UserState:
    """The state after a whole log in one go: equal to ``update`` over the log in order, and some hundred times faster.

    ``log`` holds each event id once.
    """
    ordered = sorted((x for x in log if isinstance(x, Interaction)), reverse=True)
    dwells = sorted((x for x in log if isinstance(x, Dwell)), reverse=True)
    last = ordered[0].event_time if ordered else 0
    times = np.fromiter((x.event_time for x in ordered), np.int64, len(ordered))
    codes: dict[str, int] = {}
    index = np.fromiter((codes.setdefault(x.category, len(codes)) for x in ordered), np.int64, len(ordered))
    sums = [
        np.bincount(index, np.exp2(-(last - times) / (hours * MS_PER_HOUR)), len(codes))
        for hours in settings.count_half_lives_hours
    ]
    counts = {name: tuple(float(s[code]) for s in sums) for name, code in codes.items()}
    kept = tuple(dwells[: settings.recent_items])
    state = UserState(tuple(ordered[: settings.recent_items]), len(ordered), last, counts, dwells=kept)
    horizon = state.newest - settings.lateness_hours * MS_PER_HOUR
    known = {x.event_id: x.event_time for x in log if x.event_time >= horizon}
    return dataclasses.replace(state, known=known)


def dwell_ms(value: float) -> int:
    """The ``value`` of a DWELL event as whole milliseconds, a day at most (a tab left open is no interest)."""
    return int(min(value, MS_PER_DAY))


def row(state: UserState, settings: FeatureSettings) -> dict[str, Any]:
    """The raw row of the ``user_behaviour`` view."""
    start, length = session([x.event_time for x in state.recent], settings)
    dwelt = sum(x.ms for x in state.dwells if x.event_time >= start) if length else 0
    categories = sorted(state.counts)
    document: dict[str, Any] = {
        "recent_item_ids": [x.item_id for x in state.recent],
        "recent_event_times": [x.event_time for x in state.recent],
        "interaction_count": state.interaction_count,
        "last_event_time": state.last_event_time,
        "session_start_time": start,
        "session_interactions": length,
        "session_dwell_ms": dwelt,
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
    held = [state.recent, state.interaction_count, state.last_event_time, dict(state.counts), dict(state.known)]
    return json.dumps([STATE_VERSION, *held, state.dwells], separators=(",", ":")).encode()


def decode_state(data: bytes | None) -> UserState:
    """The inverse of ``encode_state``; None is a user never seen."""
    if data is None:
        return EMPTY
    version, *held = json.loads(data)
    if version != STATE_VERSION:
        raise ValueError(
            f"expected a user state of version {STATE_VERSION}, got {version}: rebuild the online store from the lake"
        )
    recent, count, last, counts, known, dwells = held
    return UserState(
        recent=tuple(Interaction(*x) for x in recent),
        interaction_count=count,
        last_event_time=last,
        counts={k: tuple(v) for k, v in counts.items()},
        known=known,
        dwells=tuple(Dwell(*x) for x in dwells),
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
