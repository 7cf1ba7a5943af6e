"""Raw rows to codes, against the vocabulary itself."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY, PAD
from contracts.requests import Request
from ensemble.steps.arrays import Query
from ensemble.steps.chain import Chain
from ensemble.steps.lookup import Row
from tests.ensemble.made_up import CUT, DEPARTMENTS, ITEMS, SHIFT, World

HOUR = 3_600_000


def encoded(chain: Chain, user_id: str, row: Row, as_of: int = CUT, region: str = "") -> Query:
    """One user's request as the later steps see it."""
    return chain.lookup.query([chain.lookup.envelope(Request(user_id, region=region), row, as_of, 0)], [row])


@pytest.mark.parametrize(
    ("age", "code"), [("age-0", FIRST_VALUE), ("age-3", FIRST_VALUE + 3), ("", NULL), ("age-99", OUT_OF_VOCABULARY)]
)
def test_a_value_is_coded_by_its_place_and_null_and_unknown_have_their_own(chain: Chain, age: str, code: int) -> None:
    row = {**chain.lookup.unknown_row(), "age": age}
    assert encoded(chain, "user-2", row).user_codes[:, :2].tolist() == [[2 + FIRST_VALUE, code]]


def test_a_user_never_seen_is_all_padding_but_for_unknown_and_null(chain: Chain, world: World) -> None:
    query = encoded(chain, "nobody", chain.lookup.unknown_row())
    assert query.user_codes[:, :3].tolist() == [[OUT_OF_VOCABULARY, NULL, NULL]]
    for tensor in query[1:]:
        assert not tensor.any()
        assert tensor.shape[0] == 1
    features = world.config.features
    assert query.recent_items.shape[1] == features.recent_items
    assert query.category_shares.shape[1] == len(features.count_half_lives_hours) * (DEPARTMENTS + FIRST_VALUE)
    assert query.seen_items.shape[1] == min(ITEMS, features.max_seen_items + features.recent_items)


@pytest.mark.parametrize(
    ("region", "home", "code"),
    [
        ("region-1", "region-2", FIRST_VALUE + 1),
        ("", "region-2", FIRST_VALUE + 2),
        ("", "", NULL),
        ("no-such-region", "region-2", OUT_OF_VOCABULARY),
    ],
)
def test_the_region_asked_for_counts_before_the_home_region(chain: Chain, region: str, home: str, code: int) -> None:
    row = {**chain.lookup.unknown_row(), "home_region": home}
    assert encoded(chain, "nobody", row, region=region).user_codes[0, 2] == code


def test_the_hour_of_a_request_is_that_of_the_logs_own_days(chain: Chain) -> None:
    """The log was shifted from a day of summer, when the clock of Paris is two hours ahead, to one of winter."""
    own = datetime.fromtimestamp((CUT - SHIFT) / 1000, timezone.utc).astimezone(ZoneInfo("Europe/Paris"))
    hours = [encoded(chain, "nobody", chain.lookup.unknown_row(), CUT + i * HOUR).user_codes[0, 3] for i in range(3)]
    assert hours == [FIRST_VALUE + own.hour + i for i in range(3)]


def test_recent_items_keep_their_order_and_weigh_by_age(chain: Chain) -> None:
    row = {
        **chain.lookup.unknown_row(),
        "recent_item_ids": ["item-7", "gone", "item-2"],
        "recent_event_times": [CUT, CUT - 240 * HOUR, CUT - 480 * HOUR],
    }
    query = encoded(chain, "nobody", row)
    assert query.recent_items[0, :4].tolist() == [7 + FIRST_VALUE, OUT_OF_VOCABULARY, 2 + FIRST_VALUE, PAD]
    assert query.recent_weights[0, :4].tolist() == [1.0, 0.5, 0.25, 0.0]
    assert sorted(query.seen_items[0][query.seen_items[0] > 0]) == [2 + FIRST_VALUE, 7 + FIRST_VALUE]


def test_counts_are_decayed_to_the_instant_of_the_request(chain: Chain) -> None:
    row = {
        **chain.lookup.unknown_row(),
        "last_event_time": CUT,
        "count_categories": ["dep-1", "unheard", "unheard-too"],
        "category_counts_1h": [4.0, 1.0, 2.0],
        "category_counts_720h": [4.0, 1.0, 2.0],
    }
    counts = encoded(chain, "nobody", row, CUT + 2 * HOUR).category_shares.reshape(2, -1)
    assert counts[0, FIRST_VALUE + 1] == 1.0
    assert counts[0, OUT_OF_VOCABULARY] == 0.75, "unknown categories count together"
    assert counts[1, FIRST_VALUE + 1] == pytest.approx(4 * 2 ** (-2 / 720))
    assert np.count_nonzero(counts) == 4


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 79), min_size=1, max_size=6), st.integers(0, 5))
def test_many_users_are_encoded_as_each_alone(chain: Chain, world: World, users: list[int], days: int) -> None:
    as_of = CUT - days * 24 * HOUR
    names, rows = [world.user_ids[user] for user in users], [world.row(user, as_of) for user in users]
    envelopes = [chain.lookup.envelope(Request(name), row, as_of, 0) for name, row in zip(names, rows)]
    together = chain.lookup.query(envelopes, rows)
    alone = [encoded(chain, name, row, as_of) for name, row in zip(names, rows)]
    for column, tensors in zip(together, zip(*alone)):
        assert np.array_equal(column, np.concatenate(tensors))


def test_a_row_longer_than_the_settings_is_cut_not_refused(chain: Chain, world: World) -> None:
    many = [f"item-{i}" for i in range(ITEMS)]
    row = {
        **chain.lookup.unknown_row(),
        "recent_item_ids": many,
        "recent_event_times": [CUT - i for i in range(ITEMS)],
        "seen_item_ids": many,
    }
    query = encoded(chain, "nobody", row)
    newest = query.recent_items[0] - FIRST_VALUE
    assert newest.tolist() == list(range(world.config.features.recent_items))
    assert (query.seen_items > 0).sum() == world.config.features.max_seen_items


def test_the_envelope_holds_what_later_steps_need(chain: Chain, world: World) -> None:
    row = world.row(3, CUT)
    request = Request("user-3", k=7, exclude_ids=("item-0", "never-heard-of"), request_id="r", deadline_ms=50)
    envelope = chain.lookup.envelope(request, row, CUT, started_ms=1_000, variant="b")
    assert envelope.region == "region-3", "the home region, since the request names none"
    assert envelope.excluded == (FIRST_VALUE,)
    assert envelope.deadline == 1_050
    assert envelope.evidence == row["interaction_count"] > 0
    assert envelope.feature_age_ms == CUT - row["last_event_time"]
    assert (envelope.k, envelope.request_id, envelope.variant) == (7, "r", "b")
    named = chain.lookup.envelope(Request("user-3", region="region-0"), row, CUT, 0)
    assert named.region == "region-0"
    assert type(envelope).from_bytes(envelope.to_bytes()) == envelope
