"""How knowledge changes: the fold, its batch twin, and what they promise about order, duplicates and time."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, count_column, user_behaviour
from contracts.folds import (
    EMPTY,
    Dwell,
    Interaction,
    Outcome,
    UserState,
    decode_state,
    dwell_ms,
    encode_state,
    fold,
    row,
    session,
    update,
    value,
)
from tests import strategies

SETTINGS = FeatureSettings((), ("department",), (), "department", recent_items=3, count_half_lives_hours=(1, 720))
MINUTE = 60_000
T0 = 1_700_000_000_000


def bought(minutes: float, item: str = "i", category: str = "wine", event_id: str = "") -> Interaction:
    time = T0 + round(minutes * MINUTE)
    return Interaction(time, event_id or f"e{time}", item, category)


def dwelt(minutes: float, ms: int, event_id: str = "") -> Dwell:
    time = T0 + round(minutes * MINUTE)
    return Dwell(time, event_id or f"d{time}", ms)


def in_order(log: Sequence[Interaction | Dwell]) -> list[Interaction | Dwell]:
    return sorted(log, key=lambda event: event[:2])


def folded(log: Sequence[Interaction | Dwell], settings: FeatureSettings = SETTINGS) -> UserState:
    state = EMPTY
    for new in log:
        state, _ = update(state, new, settings)
    return state


def assert_same(a: UserState, b: UserState) -> None:
    """Equal in everything; sums to the last bits, for they are added in another order."""
    assert (a.recent, a.interaction_count, a.last_event_time) == (b.recent, b.interaction_count, b.last_event_time)
    assert (a.known, a.dwells) == (b.known, b.dwells)
    assert a.counts.keys() == b.counts.keys()
    for name, held in a.counts.items():
        assert held == pytest.approx(b.counts[name], rel=1e-9, abs=1e-300), name


@given(strategies.folded_events(), strategies.settings)
def test_updates_in_order_equal_the_fold_of_the_whole_log(log: list, settings: FeatureSettings) -> None:
    assert_same(folded(in_order(log), settings), fold(log, settings))


@given(strategies.folded_events(), strategies.settings, st.randoms(use_true_random=False))
def test_after_every_event_the_row_is_that_of_the_prefix(
    log: list, settings: FeatureSettings, random: random.Random
) -> None:
    state, log = EMPTY, in_order(log)
    for i, new in enumerate(log):
        state, outcome = update(state, new, settings)
        assert outcome is Outcome.APPLIED
        prefix = log[: i + 1]
        random.shuffle(prefix)
        online, batch = row(state, settings), row(fold(prefix, settings), settings)
        for hours in settings.count_half_lives_hours:
            assert online.pop(count_column(hours)) == pytest.approx(
                batch.pop(count_column(hours)), rel=1e-9, abs=1e-300
            )
        assert online == batch


@given(strategies.folded_events(within_hours=24), st.randoms(use_true_random=False))
def test_within_the_lateness_bound_any_order_gives_the_same_state(log: list, random: random.Random) -> None:
    settings = FeatureSettings((), ("department",), (), "department", recent_items=4, lateness_hours=24)
    shuffled = list(log)
    random.shuffle(shuffled)
    assert_same(folded(shuffled, settings), fold(log, settings))


@given(strategies.folded_events(), st.randoms(use_true_random=False))
def test_any_order_gives_the_batch_of_what_was_not_refused(log: list, random: random.Random) -> None:
    random.shuffle(log)
    state, kept = EMPTY, []
    for new in log:
        state, outcome = update(state, new, SETTINGS)
        if outcome is Outcome.APPLIED:
            kept.append(new)
    assert_same(state, fold(kept, SETTINGS))


@given(strategies.folded_events())
def test_a_second_delivery_of_every_event_changes_nothing(log: list) -> None:
    once = folded(in_order(log))
    for new in log:
        again, outcome = update(once, new, SETTINGS)
        assert again is once
        horizon = once.newest - SETTINGS.lateness_hours * MS_PER_HOUR
        assert outcome is (Outcome.LATE if new.event_time < horizon else Outcome.DUPLICATE)


def test_an_event_is_late_only_beyond_the_bound() -> None:
    state = folded([bought(24 * 60)])
    assert update(state, bought(0), SETTINGS)[1] is Outcome.APPLIED
    refused, outcome = update(state, bought(-1 / 60_000), SETTINGS)
    assert outcome is Outcome.LATE and refused is state


def test_a_late_event_is_refused_even_when_its_id_is_new_and_a_known_id_even_at_another_time() -> None:
    state = folded([bought(0, event_id="x")])
    assert update(state, bought(7, event_id="x"), SETTINGS)[1] is Outcome.DUPLICATE
    assert update(state, bought(-25 * 60, event_id="y"), SETTINGS)[1] is Outcome.LATE


def test_known_ids_are_forgotten_once_they_would_be_late_anyway() -> None:
    state = folded([bought(0, event_id="old"), bought(24 * 60, event_id="edge"), bought(24 * 60 + 1, event_id="new")])
    assert set(state.known) == {"edge", "new"}


def test_decayed_counts_are_those_computed_by_hand() -> None:
    state = folded([bought(0, category="wine"), bought(60, category="wine"), bought(120, category="fruit")])
    hourly = {name: held[0] for name, held in state.counts.items()}
    monthly = {name: held[1] for name, held in state.counts.items()}
    assert hourly == pytest.approx({"wine": 1 / 4 + 1 / 2, "fruit": 1})
    assert monthly == pytest.approx({"wine": 2 ** (-2 / 720) + 2 ** (-1 / 720), "fruit": 1})
    document = row(state, SETTINGS)
    assert document["count_categories"] == ["fruit", "wine"], "sorted, so that rows of equal states are equal"
    assert document[count_column(1)] == pytest.approx([1, 0.75])
    assert value(document, T0 + 180 * MINUTE, 1) == pytest.approx([0.5, 0.375])
    assert value(document, T0 + 120 * MINUTE, 1) == pytest.approx([1, 0.75])
    assert value(document, T0 + (120 + 720 * 60) * MINUTE, 720)[0] == pytest.approx(0.5)


def test_a_clock_behind_the_newest_event_does_not_grow_the_counts() -> None:
    document = row(folded([bought(60)]), SETTINGS)
    assert value(document, T0, 1).tolist() == [1.0]


def test_the_value_of_an_empty_row_is_empty() -> None:
    empty = value(user_behaviour(SETTINGS).empty_row(), T0, 720)
    assert empty.shape == (0,) and empty.dtype == np.float64


def test_a_decade_of_silence_leaves_zero_not_an_error() -> None:
    state = folded([bought(0), bought(10 * 365 * 24 * 60, category="fruit")])
    assert state.counts["wine"][0] == 0.0 and state.counts["fruit"] == (1.0, 1.0)


def test_the_newest_items_are_kept_newest_first_and_ties_go_by_event_id() -> None:
    log = [bought(0, "a", event_id="1"), bought(5, "b", event_id="2"), bought(5, "c", event_id="3"), bought(9, "d")]
    for order in (log, log[::-1]):
        document = row(folded(order), SETTINGS)
        assert document["recent_item_ids"] == ["d", "c", "b"]
        assert document["interaction_count"] == 4
    assert document["recent_event_times"] == [T0 + minutes * MINUTE for minutes in (9, 5, 5)]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([], (0, 0)),
        ([0], (0, 1)),
        ([40, 10, 0], (0, 3)),
        ([40, 9, 0], (40, 1)),
        ([95, 70, 39, 30], (70, 2)),
        ([5, 5, 5], (5, 3)),
    ],
)
def test_a_session_ends_where_a_gap_is_longer_than_the_setting(minutes: list[int], expected: tuple) -> None:
    start, length = session([m * MINUTE for m in minutes], SETTINGS)
    assert (start / MINUTE, length) == expected


def test_dwell_counts_from_the_start_of_the_newest_session_on() -> None:
    log = [bought(0), dwelt(1, 9_000), bought(60), dwelt(60, 100), dwelt(75, 20), dwelt(200, 3)]
    assert row(folded(log), SETTINGS)["session_dwell_ms"] == 123, "at the start's own instant too, and long after it"
    assert row(folded([*log, bought(240)]), SETTINGS)["session_dwell_ms"] == 0, "a new session begins with nothing"


def test_dwell_is_no_interaction() -> None:
    before = row(folded([bought(0)]), SETTINGS)
    after = row(folded([bought(0), dwelt(20, 7), dwelt(45, 8)]), SETTINGS)
    assert after.pop("session_dwell_ms") == 15
    assert after.items() <= before.items(), "45 minutes of dwell neither extend the session nor count"
    later = row(folded([bought(0), dwelt(20, 7), bought(40)]), SETTINGS)
    assert later["session_interactions"] == 1, "the gap is between interactions"


def test_dwell_of_nobodys_session_is_kept_until_there_is_one() -> None:
    early = folded([dwelt(5, 7), dwelt(-5, 1)])
    assert row(early, SETTINGS)["session_dwell_ms"] == 0
    assert row(update(early, bought(0), SETTINGS)[0], SETTINGS)["session_dwell_ms"] == 7


def test_only_the_newest_reports_of_dwell_are_kept_whatever_their_order() -> None:
    log = [bought(0), *(dwelt(1, 10**i, event_id=f"d{i}") for i in range(5))]
    for order in (log, log[::-1]):
        assert row(folded(order), SETTINGS)["session_dwell_ms"] == 11_100, "three, of one instant by event id"


def test_lateness_is_measured_against_the_newest_event_of_either_kind() -> None:
    state = folded([bought(0), dwelt(24 * 60, 5)])
    assert update(state, bought(-1 / 60_000), SETTINGS)[1] is Outcome.LATE
    assert update(state, dwelt(-1 / 60_000, 1), SETTINGS)[1] is Outcome.LATE
    assert update(state, dwelt(0, 1, "new"), SETTINGS)[1] is Outcome.APPLIED
    assert update(state, dwelt(3, 1, f"d{T0 + 24 * 60 * MINUTE}"), SETTINGS)[1] is Outcome.DUPLICATE


@pytest.mark.parametrize(("value", "ms"), [(0.0, 0), (1.9, 1), (86_400_000.0, 86_400_000), (1.7e308, 86_400_000)])
def test_dwell_is_whole_milliseconds_and_a_day_at_most(value: float, ms: int) -> None:
    assert dwell_ms(value) == ms


def test_a_row_has_exactly_the_features_of_the_view() -> None:
    for state in (EMPTY, folded([bought(0)])):
        assert list(row(state, SETTINGS)) == [feature.name for feature in user_behaviour(SETTINGS).features]


def test_the_row_of_nobody_is_the_view_s_default() -> None:
    empty = {name: list(x) if isinstance(x, tuple) else x for name, x in user_behaviour(SETTINGS).empty_row().items()}
    assert row(EMPTY, SETTINGS) == empty


@given(strategies.folded_events(), strategies.settings)
def test_a_state_survives_its_bytes(log: list, settings: FeatureSettings) -> None:
    state = folded(in_order(log), settings)
    again = decode_state(encode_state(state))
    assert again == state
    assert row(again, settings) == row(state, settings)
    assert all(isinstance(x, Interaction) for x in again.recent) and all(isinstance(x, Dwell) for x in again.dwells)


def test_no_bytes_are_a_user_never_seen() -> None:
    assert decode_state(None) == EMPTY == decode_state(encode_state(EMPTY))


def test_bytes_of_another_version_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="version 2, got 1: rebuild the online store"):
        decode_state(b"[1,[],0,0,{},{}]")


def test_the_fold_of_a_long_log_keeps_its_total_weight() -> None:
    """Of equal instants every event weighs 1: the sum of all categories is the number of events."""
    log = [Interaction(T0, f"{i:05}", f"i{i % 50}", f"c{i % 7}") for i in range(5000)]
    state = fold(log, SETTINGS)
    assert math.fsum(held[1] for held in state.counts.values()) == 5000
    assert state.recent[0].event_id == "04999" and len(state.known) == 5000
