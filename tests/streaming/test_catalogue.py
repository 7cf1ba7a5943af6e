"""Items in the category of each event's time: what the stream makes of updates is what the batch makes of them."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.config import FeatureSettings
from contracts.events import LIMITS, Event
from contracts.folds import Interaction, fold, row
from streaming.catalogue import BEGINNING, Catalogue
from streaming.codec import encode
from streaming.updates import apply, foldable, learn
from tests.streaming.stack import assert_same_row

SETTINGS = FeatureSettings(("age",), ("department",), (), "department")
TABLE = {"a": "dairy", "b": "fruit"}  # "c" is in no table
FIRST = LIMITS.min_event_time
times = st.integers(0, 12).map(lambda step: FIRST + 3_600_000 * step)
items = st.sampled_from("abc")


def update(event_id: str, item: str, time: int, department: str) -> Event:
    return Event(event_id, "item_update", time, item_id=item, attributes={"department": department, "price": "1"})


def true_category(updates: list[Event], item: str, time: int) -> str:
    """One update after the other, in the order of time and id."""
    known = TABLE.get(item, "")
    for each in sorted(updates, key=lambda each: (each.event_time, each.event_id)):
        if each.item_id == item and each.event_time <= time:
            known = each.attributes["department"]
    return known


def from_batch(updates: list[Event]) -> Catalogue:
    """A catalogue out of the tables that the etl writes when it knows these updates."""
    former = []
    for item in {each.item_id for each in updates}:
        instants = sorted({BEGINNING, *(each.event_time for each in updates if each.item_id == item)})
        former += [(item, time, true_category(updates, item, time)) for time in instants]
    newest = {item: true_category(updates, item, 2**62) for item in (*TABLE, *(item for item, _, _ in former))}
    return Catalogue("department", newest, former)


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Event], list[Event], list[Event]]:
    """Updates, interactions, and both as they arrive: an update before the interactions that follow it on its item."""
    of = st.tuples(items, times, st.sampled_from(["wine", "dairy", ""]))
    updates = [update(f"n{n:02d}", *each) for n, each in enumerate(draw(st.lists(of, max_size=8)))]
    clicks = draw(st.permutations(draw(st.lists(st.tuples(items, times), max_size=20))))
    arrived = [Event(f"c{n}", "click", time, user_id="u", item_id=item) for n, (item, time) in enumerate(clicks)]
    interactions = list(arrived)
    for each in draw(st.permutations([*updates, *updates[:2]])):  # some of them come twice
        after = [n for n, other in enumerate(arrived) if _follows(other, each)]
        arrived.insert(draw(st.integers(0, min(after, default=len(arrived)))), each)
    return updates, interactions, arrived


def _follows(other: Event, change: Event) -> bool:
    return other.event_type == "click" and other.item_id == change.item_id and other.event_time >= change.event_time


@given(arrivals(), st.data())
def test_where_updates_come_before_what_follows_them_the_stream_counts_as_the_batch_does(log, data):
    updates, interactions, arrived = log
    taken_in = data.draw(st.lists(st.sampled_from(updates), unique_by=id)) if updates else []
    catalogue = from_batch(taken_in)
    learn(map(encode, taken_in), catalogue)  # as a restart does: they are in the live zone still
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrived)), max_size=3)))
    states = {}
    for start, stop in zip([0, *cuts], [*cuts, len(arrived)]):
        found, _, _ = foldable(map(encode, arrived[start:stop]), catalogue)
        states |= apply(states, found, SETTINGS, {}).states
    expected = [
        Interaction(x.event_time, x.event_id, x.item_id, true_category(updates, x.item_id, x.event_time))
        for x in interactions
    ]
    if expected:
        assert_same_row(row(states["u"], SETTINGS), row(fold(expected, SETTINGS), SETTINGS))


def test_an_update_behind_others_of_its_batch_counts_for_all_of_them():
    clicked = Event("c", "click", FIRST, user_id="u", item_id="a")
    found, _, _ = foldable(
        map(encode, [clicked, update("m", "a", FIRST, "wine")]), Catalogue("department", TABLE), [0, 1]
    )
    assert [each.event.category for each in found] == ["wine"]


def test_what_was_counted_before_a_late_update_stays_and_what_comes_after_is_right():
    catalogue = Catalogue("department", TABLE)
    log = [
        Event("c1", "click", FIRST + 5, user_id="u", item_id="a"),
        update("m", "a", FIRST, "wine"),
        Event("c2", "click", FIRST + 4, user_id="u", item_id="a"),
    ]
    found = [each for event in log for each in foldable([encode(event)], catalogue)[0]]
    assert [each.event.category for each in found] == ["dairy", "wine"]


def test_only_what_names_the_category_changes_it():
    catalogue = Catalogue(
        "department", {"a": "dairy"}, [("a", BEGINNING, "fruit"), ("a", 50, "dairy"), ("a", 90, "dairy")]
    )
    catalogue.change(Event("m1", "item_update", 10, item_id="a", attributes={"price": "2"}))
    assert [catalogue.at("a", time) for time in (49, 50, 95)] == ["fruit", "dairy", "dairy"]
    # At 90 the price changed: a late word on the category reaches beyond.
    catalogue.change(Event("m2", "item_update", 70, item_id="a", attributes={"department": "wine"}))
    assert [catalogue.at("a", time) for time in (69, 70, 95)] == ["dairy", "wine", "wine"]
    catalogue.change(Event("m2", "item_update", 80, item_id="a", attributes={"department": "a second time"}))
    assert catalogue.at("a", 80) == "wine" and catalogue.at("unheard of", 80) == ""


def test_without_a_category_all_interactions_count_together():
    catalogue = Catalogue()
    catalogue.change(update("m", "a", FIRST, "wine"))
    assert catalogue.at("a", FIRST) == ""
