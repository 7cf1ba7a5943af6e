"""How popularity is counted as it happens: interactions by bucket of time, region and item, pure and without I/O.

A bucket is ``features.bucket_minutes`` of event time, numbered from the epoch: bucket n begins at n times its length
(UTC). Counts of whole buckets are a function of the set of events, so ``etl/grouping.py`` computes the same day by day.
A bucket is visible once it is over and the lateness bound has passed too; until then late events correct it, afterwards
they are refused and left to the batch, so that what was seen does not change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from contracts.config import FeatureSettings
from contracts.features import MS_PER_HOUR, MS_PER_MINUTE

#: What every key of the online store's buckets begins with.
PREFIX = "trireme:buckets:"
#: Sorted set of those keys by their bucket's number: who wants the newest need not look at every key of the store.
INDEX = "trireme:bucket-index"
#: The field of each hash that says how much all others count: another sum than before is the sign of a change.
TOTAL = "total"


class Bucket(NamedTuple):
    """What is counted: ``number`` says which bucket of event time, ``region`` is "" where there is none."""

    number: int
    region: str
    item_id: str


class Counted(NamedTuple):
    """What a batch of interactions adds.

    Attributes:
        counts: how many more of each bucket.
        newest: time of the newest interaction so far, ms.
        late: interactions that came after their bucket was visible.
    """

    counts: Counter[Bucket]
    newest: int
    late: int


def fold(newest: int, log: Iterable[tuple[int, Bucket]], settings: FeatureSettings) -> Counted:
    """Count interactions in their order of arrival: what two batches add is what they add as one.

    Args:
        newest: time of the newest interaction before these, ms; 0 = none.
        log: time and bucket of each interaction, every event id once.
        settings: the lateness bound and the length of a bucket.
    """
    counts, late = Counter[Bucket](), 0
    for time, bucket in log:
        newest = max(newest, time)
        if is_visible(bucket.number, newest, settings):
            late += 1
        else:
            counts[bucket] += 1
    return Counted(counts, newest, late)


def bucket_ms(settings: FeatureSettings) -> int:
    """The length of a bucket, ms."""
    return settings.bucket_minutes * MS_PER_MINUTE


def bucket_of(event_time: int, region: str | None, item_id: str, settings: FeatureSettings) -> Bucket:
    """The bucket of an interaction."""
    return Bucket(event_time // bucket_ms(settings), region or "", item_id)


def is_visible(number: int, as_of: int, settings: FeatureSettings) -> bool:
    """Whether a bucket is over, the lateness bound included, as of an instant (ms)."""
    return (number + 1) * bucket_ms(settings) + settings.lateness_hours * MS_PER_HOUR <= as_of


def keep_seconds(settings: FeatureSettings) -> int:
    """How long a bucket is of use: until visible, then four half-lives of the slowest popularity (a 16th is left)."""
    until_visible_ms = bucket_ms(settings) + settings.lateness_hours * MS_PER_HOUR
    return int(until_visible_ms + 4 * max(settings.popularity_half_lives_hours) * MS_PER_HOUR) // 1000


def key(shard: str, number: int) -> str:
    """The Redis key of the hash that holds a bucket's counts of one shard (a partition, or the lake)."""
    return f"{PREFIX}{shard}:{number}"


def number_of(key: str) -> int:
    """Which bucket such a key is of."""
    return int(key.rpartition(":")[2])


def field(bucket: Bucket) -> str:
    """The hash field of a bucket: region and item may hold any letter."""
    return json.dumps([bucket.region, bucket.item_id], ensure_ascii=False, separators=(",", ":"))


def parse(number: int, field: str) -> Bucket:
    """The bucket of a hash field."""
    return Bucket(number, *json.loads(field))
