"""Two rows of one person become what folding all of his events would have made, as far as rows can say it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import folds
from contracts.config import FeatureSettings
from contracts.features import count_column, feature_views
from contracts.merging import merge
from tests import strategies

SETTINGS = FeatureSettings(
    ("age",), ("department",), (), "department", recent_items=4, count_half_lives_hours=(1, 720), max_seen_items=5
)
MINUTE = 60_000
T0 = 1_700_000_000_000
NOBODY = {name: value for view in feature_views(SETTINGS) for name, value in view.empty_row().items()}


def row_of(log: list, settings: FeatureSettings = SETTINGS, **profile: Any) -> dict[str, Any]:
    empty = {name: value for view in feature_views(settings) for name, value in view.empty_row().items()}
    return {**empty, **profile, **folds.row(folds.fold(log, settings), settings)}


def bought(minutes: float, item: str = "i", category: str = "wine") -> folds.Interaction:
    return folds.Interaction(T0 + round(minutes * MINUTE), f"e{minutes}", item, category)


def assert_same_behaviour(found: dict[str, Any], expected: dict[str, Any], settings: FeatureSettings) -> None:
    """Equal but for the order within an instant and a sum's last bits."""
    for name in ("interaction_count", "last_event_time", "session_start_time", "session_interactions"):
        assert found[name] == expected[name], name
    assert found["recent_event_times"] == expected["recent_event_times"]
    assert found["count_categories"] == expected["count_categories"]
    for hours in settings.count_half_lives_hours:
        assert np.allclose(found[count_column(hours)], expected[count_column(hours)], rtol=1e-9, atol=1e-300)


@given(strategies.folded_events(), strategies.settings, st.randoms(use_true_random=False))
def test_merging_two_rows_is_folding_two_streams_into_one(log: list, settings: FeatureSettings, chance: Any) -> None:
    mine: list = []
    theirs: list = []
    for event in log:
        (mine if chance.random() < 0.5 else theirs).append(event)
    found = merge(row_of(mine, settings), row_of(theirs, settings), settings)
    expected = row_of(log, settings)
    assert_same_behaviour(found, expected, settings)
    times = expected["recent_event_times"]
    whole = [time for time in times if times.count(time) == 1 and time != times[-1]]
    for time in whole:
        place = times.index(time)
        assert found["recent_item_ids"][place] == expected["recent_item_ids"][place]


@given(strategies.folded_events(), strategies.settings)
def test_with_nobody_a_row_stays_what_it_is(log: list, settings: FeatureSettings) -> None:
    row = row_of(log, settings, age="40", home_region="north", seen_item_ids=["a", "b"][: settings.max_seen_items])
    nobody = {name: value for view in feature_views(settings) for name, value in view.empty_row().items()}
    for found in (merge(row, nobody, settings), merge(nobody, row, settings)):
        assert {name: list(v) if isinstance(v, tuple) else v for name, v in row.items()} == found


def test_sessions_that_only_both_make_run_on() -> None:
    mine, theirs = [bought(0), bought(50)], [bought(25), bought(60)]
    found = merge(row_of(mine), row_of(theirs), SETTINGS)
    assert (found["session_start_time"], found["session_interactions"]) == (T0, 4), "no gap of theirs is 30 minutes"
    assert row_of(mine)["session_interactions"] == 1


@pytest.mark.parametrize(("began", "counts"), [(0, 5_000 + 7_000), (-600, 5_000)])
def test_dwell_counts_while_its_session_does(began: float, counts: int) -> None:
    mine = [bought(5), folds.Dwell(T0 + 6 * MINUTE, "d1", 5_000)]
    theirs = [bought(began), folds.Dwell(T0 + round((began + 1) * MINUTE), "d2", 7_000)]
    assert merge(row_of(mine), row_of(theirs), SETTINGS)["session_dwell_ms"] == counts


@given(strategies.folded_events(max_size=10), st.randoms(use_true_random=False))
def test_dwell_is_never_more_than_was_reported(log: list, chance: Any) -> None:
    settings = FeatureSettings((), ("department",), (), "department", recent_items=64)
    mine = [event for event in log if chance.random() < 0.5]
    theirs = [event for event in log if event not in mine]
    found = merge(row_of(mine, settings), row_of(theirs, settings), settings)
    assert found["session_dwell_ms"] <= row_of(log, settings)["session_dwell_ms"]


def test_what_only_one_has_is_the_users_first() -> None:
    user = {**NOBODY, "age": "40", "home_region": "", "seen_item_ids": ["a", "b"]}
    anonymous = {**NOBODY, "age": "20", "home_region": "south", "seen_item_ids": ["b", "c", "d", "e", "f"]}
    found = merge(user, anonymous, SETTINGS)
    assert (found["age"], found["home_region"]) == ("40", "south")
    assert found["seen_item_ids"] == ["a", "b", "c", "d", "e"], "each once, and no more than are kept"


def test_an_order_within_an_instant_is_the_users_first() -> None:
    found = merge(row_of([bought(1, "mine")]), row_of([bought(1, "theirs")]), SETTINGS)
    assert found["recent_item_ids"] == ["mine", "theirs"]


def test_merging_is_the_same_in_any_grouping_but_for_ties() -> None:
    rows = [row_of([bought(i), bought(i + 7)]) for i in range(3)]
    found = {
        str(merge(merge(rows[a], rows[b], SETTINGS), rows[c], SETTINGS)["recent_event_times"])
        for a, b, c in itertools.permutations(range(3))
    }
    assert len(found) == 1


@pytest.mark.parametrize("damage", [{"recent_event_times": [1]}, {"count_categories": ["wine", "beer"]}])
def test_lists_that_do_not_fit_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected as many|zip"):
        merge({**row_of([bought(0), bought(1)]), **damage}, NOBODY, SETTINGS)
