"""What is said of an item: the newest word counts, in whatever order the words come, and nonsense says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import FeatureSettings
from contracts.events import Event
from contracts.item_state import attributes, change, decode, encode, values

SETTINGS = FeatureSettings(("age",), ("department", "brand"), ("price",), "department")
KEPT = attributes(SETTINGS)


def update(time: int, event_id: str, **said: str) -> Event:
    return Event(event_id, "item_update", time, item_id="i", attributes=said)


UPDATES = st.lists(
    st.builds(
        lambda time, event_id, said: update(time, event_id, **said),
        st.integers(1, 5),
        st.sampled_from("abcdef"),
        st.dictionaries(st.sampled_from([*KEPT, "colour"]), st.sampled_from(["true", "false", "1.5", "wine", ""])),
    ),
    max_size=6,
    unique_by=lambda event: event.event_id,
)


def folded(log: list[Event]):
    state = {}
    for event in log:
        state = change(state, event, KEPT)
    return state


@given(UPDATES, st.data())
def test_the_order_of_updates_and_repetitions_do_not_matter(log: list[Event], data: st.DataObject) -> None:
    state = folded(log)
    assert folded(data.draw(st.permutations([*log, *log]))) == state
    assert decode(encode(state)) == state


def test_what_is_kept_are_features_price_and_availability() -> None:
    state = folded([update(5, "a", department="wine", colour="red", available="false", price="2.5")])
    assert values(state) == {"department": "wine", "available": "false", "price": "2.5"}
    assert KEPT == ("department", "brand", "price", "available")


def test_an_older_word_changes_nothing_and_of_one_time_the_greater_id_counts() -> None:
    state = folded([update(5, "b", brand="new"), update(4, "z", brand="old"), update(5, "a", brand="less")])
    assert values(state) == {"brand": "new"}


@pytest.mark.parametrize(
    ("name", "value"), [("available", "no"), ("price", "nan"), ("price", "-1"), ("price", "cheap")]
)
def test_what_cannot_be_understood_says_nothing(name: str, value: str) -> None:
    assert folded([update(5, "a", **{name: value})]) == {}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"price": 5}', b'{"price": ["5", "e", "1"]}', b'{"price": [5, "e"]}'])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data)
