"""How popularity is counted as it happens: interactions by day, region and item, pure and without I/O.

Counts of whole days are a function of the set of events, so ``etl/grouping.py`` computes the same day by day. A
day is visible once it is over and the lateness bound has passed too; until then late events correct it, afterwards they
are refused and left to the batch, so that what was seen does not change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from contracts.config import FeatureSettings
from contracts.features import MS_PER_DAY, MS_PER_HOUR

#: What every key of the online store's buckets begins with.
PREFIX = "trireme:buckets:"


class Bucket(NamedTuple):
    """What is counted: ``day`` is days since the epoch (UTC, by event time), ``region`` "" where there is none."""

    day: int
    region: str
    item_id: str


class Counted(NamedTuple):
    """What a batch of interactions adds.

    Attributes:
        counts: how many more of each bucket.
        newest: time of the newest interaction so far, ms.
        late: interactions that came after their day was visible.
    """

    counts: Counter[Bucket]
    newest: int
    late: int


def fold(newest: int, log: Iterable[tuple[int, Bucket]], settings: FeatureSettings) -> Counted:
    """Count interactions in their order of arrival: what two batches add is what they add as one.

    Args:
        newest: time of the newest interaction before these, ms; 0 = none.
        log: time and bucket of each interaction, every event id once.
        settings: the lateness bound.
    """
    counts, late = Counter[Bucket](), 0
    for time, bucket in log:
        newest = max(newest, time)
        if is_visible(bucket.day, newest, settings):
            late += 1
        else:
            counts[bucket] += 1
    return Counted(counts, newest, late)


def bucket_of(event_time: int, region: str | None, item_id: str) -> Bucket:
    """The bucket of an interaction."""
    return Bucket(event_time // MS_PER_DAY, region or "", item_id)


def is_visible(day: int, as_of: int, settings: FeatureSettings) -> bool:
    """Whether a day is over, the lateness bound included, as of an instant (ms)."""
    return (day + 1) * MS_PER_DAY + settings.lateness_hours * MS_PER_HOUR <= as_of


def keep_days(settings: FeatureSettings) -> int:
    """For how many days buckets are of use: after four half-lives of the slowest popularity a sixteenth is left."""
    return 4 * max(settings.popularity_half_lives_days)


def key(shard: str, day: int) -> str:
    """The Redis key of the hash that holds a day's counts of one shard (a partition, or the lake)."""
    return f"{PREFIX}{shard}:{day}"


def day_of(key: str) -> int:
    """The day of such a key."""
    return int(key.rpartition(":")[2])


def field(bucket: Bucket) -> str:
    """The hash field of a bucket: region and item may hold any letter."""
    return json.dumps([bucket.region, bucket.item_id], ensure_ascii=False, separators=(",", ":"))


def parse(day: int, field: str) -> Bucket:
    """The bucket of a hash field."""
    return Bucket(day, *json.loads(field))
