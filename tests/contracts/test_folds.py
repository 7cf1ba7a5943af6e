"""How knowledge changes: the fold, its batch twin, and what they promise about order, duplicates and time."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, count_column, user_behaviour
from contracts.folds import (
    EMPTY,
    Interaction,
    Outcome,
    UserState,
    decode_state,
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


def folded(log: list[Interaction], settings: FeatureSettings = SETTINGS) -> UserState:
    state = EMPTY
    for new in log:
        state, _ = update(state, new, settings)
    return state


def assert_same(a: UserState, b: UserState) -> None:
    """Equal in everything; sums to the last bits, for they are added in another order."""
    assert (a.recent, a.interaction_count, a.last_event_time) == (b.recent, b.interaction_count, b.last_event_time)
    assert a.known == b.known
    assert a.counts.keys() == b.counts.keys()
    for name, held in a.counts.items():
        assert held == pytest.approx(b.counts[name], rel=1e-9, abs=1e-300), name


@given(strategies.logs(), strategies.settings)
def test_updates_in_order_equal_the_fold_of_the_whole_log(log: list[Interaction], settings: FeatureSettings) -> None:
    assert_same(folded(sorted(log), settings), fold(log, settings))


@given(strategies.logs(), strategies.settings, st.randoms(use_true_random=False))
def test_after_every_event_the_row_is_that_of_the_prefix(
    log: list[Interaction], settings: FeatureSettings, random: random.Random
) -> None:
    state, log = EMPTY, sorted(log)
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


@given(strategies.logs(within_hours=24), st.randoms(use_true_random=False))
def test_within_the_lateness_bound_any_order_gives_the_same_state(log: list, random: random.Random) -> None:
    settings = FeatureSettings((), ("department",), (), "department", recent_items=4, lateness_hours=24)
    shuffled = list(log)
    random.shuffle(shuffled)
    assert_same(folded(shuffled, settings), fold(log, settings))


@given(strategies.logs(), st.randoms(use_true_random=False))
def test_any_order_gives_the_batch_of_what_was_not_refused(log: list, random: random.Random) -> None:
    random.shuffle(log)
    state, kept = EMPTY, []
    for new in log:
        state, outcome = update(state, new, SETTINGS)
        if outcome is Outcome.APPLIED:
            kept.append(new)
    assert_same(state, fold(kept, SETTINGS))


@given(strategies.logs())
def test_a_second_delivery_of_every_event_changes_nothing(log: list[Interaction]) -> None:
    once = folded(sorted(log))
    for new in sorted(log):
        again, outcome = update(once, new, SETTINGS)
        assert again is once
        horizon = once.last_event_time - SETTINGS.lateness_hours * MS_PER_HOUR
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


def test_a_row_has_exactly_the_features_of_the_view() -> None:
    for state in (EMPTY, folded([bought(0)])):
        assert list(row(state, SETTINGS)) == [feature.name for feature in user_behaviour(SETTINGS).features]


def test_the_row_of_nobody_is_the_view_s_default() -> None:
    empty = {name: list(x) if isinstance(x, tuple) else x for name, x in user_behaviour(SETTINGS).empty_row().items()}
    assert row(EMPTY, SETTINGS) == empty


@given(strategies.logs(), strategies.settings)
def test_a_state_survives_its_bytes(log: list[Interaction], settings: FeatureSettings) -> None:
    state = folded(sorted(log), settings)
    again = decode_state(encode_state(state))
    assert again == state
    assert row(again, settings) == row(state, settings)
    assert all(isinstance(x, Interaction) for x in again.recent)


def test_no_bytes_are_a_user_never_seen() -> None:
    assert decode_state(None) == EMPTY == decode_state(encode_state(EMPTY))


def test_bytes_of_another_version_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="version 1, got 2: rebuild the online store"):
        decode_state(b"[2,[],0,0,{},{}]")


def test_the_fold_of_a_long_log_keeps_its_total_weight() -> None:
    """Of equal instants every event weighs 1: the sum of all categories is the number of events."""
    log = [Interaction(T0, f"{i:05}", f"i{i % 50}", f"c{i % 7}") for i in range(5000)]
    state = fold(log, SETTINGS)
    assert math.fsum(held[1] for held in state.counts.values()) == 5000
    assert state.recent[0].event_id == "04999" and len(state.known) == 5000
