"""Counts by bucket in the online store: written with the states of the same batch, read by people and tests.

One hash a bucket of time and shard (``contracts.buckets``): a shard is a partition of the topic, or what a rebuild
found in the lake. Serving reads the batch's counts up to the end of its log, and these from there on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from contracts import buckets
from contracts.buckets import Bucket
from contracts.config import FeatureSettings
from contracts.errors import ArtifactError

SCHEMA = pa.schema([("bucket", pa.int32()), ("region", pa.string()), ("item_id", pa.string()), ("count", pa.int64())])


def add(pipe: Any, shard: str, counts: Mapping[Bucket, int], settings: FeatureSettings) -> None:
    """Put increments into a pipeline; a hash goes when nobody has added to it for as long as it is of use."""
    names = {number: buckets.key(shard, number) for number in {bucket.number for bucket in counts}}
    totals = Counter[int]()
    for bucket, count in counts.items():
        pipe.hincrby(names[bucket.number], buckets.field(bucket), count)
        totals[bucket.number] += count
    for number, total in totals.items():
        pipe.hincrby(names[number], buckets.TOTAL, total)
    _index(pipe, names, settings)


def put(pipe: Any, shard: str, counts: Mapping[Bucket, int], settings: FeatureSettings) -> None:
    """Put whole counts into a pipeline; what the hashes held of these buckets is replaced."""
    by_number: dict[int, dict[str, int]] = {}
    for bucket, count in counts.items():
        by_number.setdefault(bucket.number, {})[buckets.field(bucket)] = count
    for number, fields in by_number.items():
        pipe.hset(buckets.key(shard, number), mapping={**fields, buckets.TOTAL: sum(fields.values())})
    _index(pipe, {number: buckets.key(shard, number) for number in by_number}, settings)


def keys(client: Any) -> list[bytes]:
    """The keys of all hashes."""
    return list(client.zrange(buckets.INDEX, 0, -1))


def visible(client: Any, as_of: int, settings: FeatureSettings) -> Counter[Bucket]:
    """The counts of all shards together, of the buckets that are visible as of an instant (ms)."""
    found = Counter[Bucket]()
    for name in keys(client):
        number = buckets.number_of(name.decode())
        if buckets.is_visible(number, as_of, settings):
            for field, count in client.hgetall(name).items():
                if field.decode() != buckets.TOTAL:
                    found[buckets.parse(number, field.decode())] += int(count)
    return found


def _index(pipe: Any, names: Mapping[int, str], settings: FeatureSettings) -> None:
    """Let hashes be found for as long as they are of use."""
    if not names:
        return
    for name in names.values():
        pipe.expire(name, buckets.keep_seconds(settings))
    pipe.zadd(buckets.INDEX, {name: number for number, name in names.items()})
    oldest = max(names) - buckets.keep_seconds(settings) * 1000 // buckets.bucket_ms(settings)
    pipe.zremrangebyscore(buckets.INDEX, "-inf", f"({oldest}")


def table(counts: Mapping[Bucket, int]) -> pa.Table:
    """Counts as rows, sorted by bucket, region and item."""
    rows = [(*bucket, count) for bucket, count in sorted(counts.items())]
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row)) for row in rows], SCHEMA)


def write(counts: Mapping[Bucket, int], path: str) -> None:
    """Write counts as one parquet file.

    Raises:
        ArtifactError: when there is no writing there.
    """
    try:
        pq.write_table(table(counts), path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error}; name a file of a folder that is there") from None
