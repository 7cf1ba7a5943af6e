"""The processor's core: what a batch of records does to the states, whatever its order and however it is cut."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.buckets import Counted, bucket_of
from contracts.config import FeatureSettings
from contracts.events import INTERACTIONS, Event, EventType
from contracts.features import MS_PER_DAY
from contracts.folds import Dwell, Interaction, fold, row
from streaming.catalogue import Catalogue
from streaming.codec import encode
from streaming.updates import NO_INTERACTION, UNDECODABLE, Update, apply, foldable
from tests.strategies import folded_events, settings
from tests.streaming.stack import NOW, assert_same_row, click, dwell

BOUND_HOURS = 24
DEFAULTS = FeatureSettings(("age",), ("department",), (), "department")


def records(log, user="u"):
    return [encode(event_of(x, user)) for x in log]


def event_of(x, user):
    if isinstance(x, Dwell):
        return Event(x.event_id, "dwell", x.event_time, user_id=user, item_id="any", value=float(x.ms))
    return Event(x.event_id, "view", x.event_time, user_id=user, item_id=x.item_id)


def with_categories(log, categories):
    return [x if isinstance(x, Dwell) else x._replace(category=categories.get(x.item_id, "")) for x in log]


def processed(batches, categories, features):
    """The states after batches of wire bytes, and all outcomes."""
    states, outcomes = {}, None
    for batch in batches:
        found, _, passed = foldable(batch, Catalogue("department", categories))
        changes = apply(states, found, features, {})
        states.update(changes.states)
        outcomes = passed + changes.outcomes if outcomes is None else outcomes + passed + changes.outcomes
    return states, outcomes


@given(folded_events(within_hours=BOUND_HOURS), settings, st.data())
def test_order_cuts_and_repetitions_within_the_bound_do_not_matter(log, features, data):
    features = dataclasses.replace(features, lateness_hours=BOUND_HOURS)
    categories = {item: f"of {item}" for item in "abcdefg"}
    log = with_categories(log, categories)
    repeated = log + data.draw(st.lists(st.sampled_from(log), max_size=5)) if log else []
    shuffled = records(data.draw(st.permutations(repeated)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(shuffled)), max_size=3)))
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)])]
    states, outcomes = processed(batches, categories, features)
    if log:
        assert_same_row(row(states["u"], features), row(fold(log, features), features))
        assert (outcomes["applied"], outcomes["duplicate"]) == (len(log), len(repeated) - len(log))
        assert set(states["u"].known) == {x.event_id for x in log}


@given(folded_events(), settings)
def test_in_the_order_of_time_nothing_is_late(log, features):
    in_order = with_categories(sorted(log, key=lambda x: x[:2]), {})
    states, outcomes = processed([records(in_order)], {}, features)
    if log:
        assert outcomes == {"applied": len(log)}
        assert_same_row(row(states["u"], features), row(fold(in_order, features), features))


def test_an_event_beyond_the_bound_is_late_and_changes_nothing():
    features = dataclasses.replace(DEFAULTS, lateness_hours=24)
    hour = 3_600_000
    values = [encode(click("u", "new")), encode(click("u", "at the bound", ago_ms=24 * hour))]
    before, _ = processed([values], {}, features)
    after, outcomes = processed([[*values, encode(click("u", "beyond", ago_ms=24 * hour + 1))]], {}, features)
    assert after == before and outcomes == {"applied": 2, "late": 1}


@pytest.mark.parametrize("kind", list(EventType))
def test_only_interactions_and_reports_of_dwell_are_folded(kind):
    event = Event(event_id="e", event_type=kind.value, event_time=NOW, user_id="u", item_id="i", value=2.5)
    found, _, passed = foldable([encode(event)], Catalogue("department", {"i": "wine"}))
    expected = {EventType.DWELL: [Update("u", Dwell(NOW, "e", 2))]}
    expected |= dict.fromkeys(INTERACTIONS, [Update("u", Interaction(NOW, "e", "i", "wine"))])
    assert found == expected.get(kind, [])
    assert passed == ({} if kind in expected else {NO_INTERACTION: 1})


def test_an_event_without_what_its_type_requires_is_counted_as_undecodable():
    values = [
        encode(Event(event_id="e", event_type="dwell", event_time=NOW, user_id="u", item_id="i", value=None)),
        encode(Event(event_id="e", event_type="click", event_time=NOW, user_id=None, item_id="i")),
        encode(Event(event_id="e", event_type="click", event_time=NOW, user_id="u", item_id=None)),
        b"no event",
        None,
    ]
    assert foldable(values, Catalogue()) == ([], [], {UNDECODABLE: 5})


def test_an_interaction_is_counted_once_in_its_partition_and_what_the_state_refuses_is_not():
    bought, read = click("u", "1", "i1"), dwell("u", "2", 5)
    late = click("u", "3", "i1", ago_ms=25 * 3_600_000)
    found, _, _ = foldable(
        [encode(dataclasses.replace(bought, region="east"))] * 2 + [encode(read), encode(late)], Catalogue(), [3] * 4
    )
    changes = apply({}, found, DEFAULTS, {})
    assert changes.counted == {3: Counted(Counter({bucket_of(NOW, "east", "i1", DEFAULTS): 1}), NOW, 0)}
    again = apply(changes.states, found, DEFAULTS, {3: NOW})
    assert not again.counted and not again.states


def test_what_comes_after_its_day_was_visible_is_late_for_the_counts_and_in_time_for_a_user_who_was_silent():
    old = click("silent", "1", ago_ms=3 * MS_PER_DAY)
    found, _, _ = foldable([encode(old)], Catalogue(), [1])
    changes = apply({}, found, DEFAULTS, {1: NOW})
    assert changes.outcomes == {"applied": 1} and changes.counted[1] == (Counter(), NOW, 1)
    assert apply({}, found, DEFAULTS, {2: NOW}).counted[1].late == 0, "partitions have a clock each"


def test_users_do_not_mix():
    states, _ = processed([[encode(click("a", "1", "i1")), encode(click("b", "1", "i2"))]], {}, DEFAULTS)
    assert {user: [x.item_id for x in state.recent] for user, state in states.items()} == {"a": ["i1"], "b": ["i2"]}
