"""Every Hypothesis strategy of the tests: what an event, a log, a body or a setting may look like."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from contracts.config import FeatureSettings
from contracts.events import FIELDS, LIMITS, EventType
from contracts.features import MS_PER_HOUR
from contracts.folds import Dwell, Interaction

NOW_MS = 1_700_000_000_000

#: Any text that UTF-8 can hold: surrogates alone are no text.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=24)

#: Ids that a request may carry: printable.
ids = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs"]), min_size=1, max_size=24
)

#: What ``json.loads`` can return, lone surrogates, NaN and integers of any size included.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**400)
    | st.floats()
    | st.text(st.characters(), max_size=12),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "event_type": st.sampled_from([kind.value for kind in EventType]),
    "event_time": st.integers(LIMITS.min_event_time, NOW_MS + LIMITS.max_ahead_ms),
    "position": st.integers(0, 2**31 - 1),
    "quantity": st.integers(LIMITS.min_quantity, LIMITS.max_quantity),
    "value": st.floats(0, 1e12),
    "attributes": st.dictionaries(texts, texts | st.just(""), max_size=4),
}


@st.composite
def raw_events(draw: st.DrawFn) -> dict[str, Any]:
    """A JSON object that the contract accepts at ``NOW_MS``."""
    kind = EventType(draw(_VALUES["event_type"]))
    raw: dict[str, Any] = {"event_type": kind.value}
    for field in FIELDS:
        if field.name != "event_type" and (kind in field.required_by or draw(st.booleans())):
            raw[field.name] = draw(_VALUES.get(field.name, texts))
    return raw


settings = st.builds(
    FeatureSettings,
    user_categorical=st.just(("age",)),
    item_categorical=st.just(("department", "brand")),
    item_numeric=st.just(()),
    category=st.just("department"),
    recent_items=st.integers(1, 6),
    count_half_lives_hours=st.lists(st.integers(1, 2000), min_size=1, max_size=3, unique=True).map(tuple),
    session_gap_minutes=st.integers(1, 90),
    lateness_hours=st.integers(0, 48),
)


@st.composite
def logs(draw: st.DrawFn, max_size: int = 30, within_hours: int = 24 * 90) -> list[Interaction]:
    """Interactions of one user, in any order, many of the same instant, each event id once."""
    instants = draw(st.lists(st.integers(0, within_hours * MS_PER_HOUR), min_size=1, max_size=8))
    size = draw(st.integers(0, max_size))
    names = draw(st.permutations([f"e{i}" for i in range(size)]))
    times = st.sampled_from(instants) | st.integers(0, within_hours * MS_PER_HOUR)
    return [
        Interaction(
            LIMITS.min_event_time + draw(times),
            name,
            draw(st.sampled_from("abcdefg")),
            draw(st.sampled_from(["dairy", "fruit", "wine", "", "été"])),
        )
        for name in names
    ]


@st.composite
def folded_events(draw: st.DrawFn, max_size: int = 30, within_hours: int = 24 * 90) -> list[Interaction | Dwell]:
    """As ``logs``, with reports of dwell among the interactions: at their instants, in their sessions, and far off."""
    log = draw(logs(max_size, within_hours))
    instants = [event.event_time for event in log] or [LIMITS.min_event_time]
    apart = st.sampled_from([0, 1, -1, 60_000, -60_000, 20 * 60_000, 40 * 60_000])
    reports = draw(st.lists(st.tuples(st.sampled_from(instants), apart, st.integers(0, 90_000)), max_size=max_size))
    top = LIMITS.min_event_time + within_hours * MS_PER_HOUR
    dwells = [
        Dwell(min(max(time + more, LIMITS.min_event_time), top), f"d{i}", ms)
        for i, (time, more, ms) in enumerate(reports)
    ]
    return draw(st.permutations([*log, *dwells]))
