"""Counts by bucket: what a bucket holds, when it may be seen, and that what was seen does not change."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from contracts import buckets
from contracts.buckets import Bucket, bucket_of, fold, is_visible
from contracts.config import FeatureSettings
from contracts.features import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from tests import strategies

SETTINGS = FeatureSettings((), ("department",), (), "department", lateness_hours=24)
DAY0 = 19_000

#: Arrivals: times over ten days in any order, in two regions, of a few items.
arrivals = st.lists(
    st.builds(
        lambda hour, region, item: (
            DAY0 * MS_PER_DAY + hour * MS_PER_HOUR,
            bucket_of(DAY0 * MS_PER_DAY + hour * MS_PER_HOUR, region, item, SETTINGS),
        ),
        st.integers(0, 240),
        st.sampled_from([None, "", "été"]),
        st.sampled_from("abc"),
    ),
    max_size=60,
)


@given(arrivals, st.integers(0, 60), st.integers(0, 60))
def test_batches_add_up_however_the_arrivals_are_cut(log: list, one: int, other: int) -> None:
    whole = fold(0, log, SETTINGS)
    counts, newest, late = Counter[Bucket](), 0, 0
    low, high = sorted((one, other))
    for part in (log[:low], log[low:high], log[high:]):
        added = fold(newest, part, SETTINGS)
        counts, newest, late = counts + added.counts, added.newest, late + added.late
    assert (counts, newest, late) == whole


@given(arrivals)
def test_every_arrival_is_counted_or_late_and_a_day_once_visible_never_changes(log: list) -> None:
    counts, newest, shown = Counter[Bucket](), 0, {}
    for arrival in log:
        added = fold(newest, [arrival], SETTINGS)
        assert added.counts.total() + added.late == 1
        counts += added.counts
        assert {bucket: n for bucket, n in counts.items() if is_visible(bucket.number, newest, SETTINGS)} == shown
        newest = added.newest
        shown = {bucket: n for bucket, n in counts.items() if is_visible(bucket.number, newest, SETTINGS)}


@given(arrivals, st.randoms(use_true_random=False))
def test_within_the_bound_any_order_gives_the_same_counts(log: list, random) -> None:
    within = [(time, bucket) for time, bucket in log if bucket.number < DAY0 + 2]
    shuffled = random.sample(within, len(within))
    found = fold(0, shuffled, SETTINGS)
    assert found.counts == Counter(bucket for _, bucket in within) and found.late == 0


def test_a_day_is_visible_when_it_is_over_and_the_bound_has_passed() -> None:
    end = (DAY0 + 1) * MS_PER_DAY + 24 * MS_PER_HOUR
    assert not is_visible(DAY0, end - 1, SETTINGS)
    assert is_visible(DAY0, end, SETTINGS)


def test_a_bucket_of_minutes_is_visible_once_its_minutes_are_over() -> None:
    news = FeatureSettings((), (), (), "", lateness_hours=0, bucket_minutes=5)
    begins = DAY0 * MS_PER_DAY + 65 * MS_PER_MINUTE
    bucket = bucket_of(begins + 5 * MS_PER_MINUTE - 1, None, "i", news)
    assert bucket == bucket_of(begins, None, "i", news) == (DAY0 * 288 + 13, "", "i")
    assert bucket_of(begins - 1, None, "i", news).number == bucket.number - 1
    assert not is_visible(bucket.number, begins + 5 * MS_PER_MINUTE - 1, news)
    assert is_visible(bucket.number, begins + 5 * MS_PER_MINUTE, news)


def test_days_are_of_event_time_and_no_region_is_the_empty_one() -> None:
    assert bucket_of(DAY0 * MS_PER_DAY + MS_PER_DAY - 1, None, "i", SETTINGS) == (DAY0, "", "i")
    assert bucket_of((DAY0 + 1) * MS_PER_DAY, "east", "i", SETTINGS) == (DAY0 + 1, "east", "i")


@given(st.just("") | strategies.texts, strategies.texts)
def test_any_region_and_item_survive_their_field(region: str, item: str) -> None:
    bucket = Bucket(DAY0, region, item)
    assert buckets.parse(DAY0, buckets.field(bucket)) == bucket
    assert buckets.number_of(buckets.key("lake", DAY0)) == DAY0


def test_buckets_are_kept_until_they_are_visible_and_four_half_lives_of_the_slowest_popularity() -> None:
    assert buckets.keep_seconds(SETTINGS) == (1 + 1 + 480) * 86_400
