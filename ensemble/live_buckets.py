"""What was interacted with since the release was made: the stream's counts by bucket, read off the path of requests.

The feature processor writes them (``streaming/buckets.py``). A bucket is taken in once it is over; late events correct
it until the lateness bound has passed, and a sum that has changed says that it must be read again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import redis

from contracts import buckets
from ensemble.steps.tables import Buckets, Tables

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
_TIMEOUT_SECONDS = 2.0

#: (region, item id) -> interactions.
Counts = Mapping[tuple[str, str], int]


class LiveBuckets:
    """The buckets after those of a release; without the store the last known stay."""

    def __init__(
        self,
        address: str,
        tables: Tables,
        take: Callable[[Buckets], None],
        clock: Callable[[], float] = time.time,
    ):
        """Connects to nothing yet.

        Args:
            address: the store's host:port.
            tables: of the release.
            take: is given all newer buckets whenever they have changed.
            clock: seconds since the epoch.
        """
        host, _, port = address.rpartition(":")
        timeouts: dict[str, Any] = {"socket_timeout": _TIMEOUT_SECONDS, "socket_connect_timeout": _TIMEOUT_SECONDS}
        self._redis: Any = redis.Redis(host, int(port), **timeouts)
        self._tables = tables
        self._codes = tables.vocabularies["item_id"]
        self._last = int(tables.buckets.number.max(initial=-1))
        self._take = take
        self._clock = clock
        self._known: dict[bytes, tuple[int, Counts]] = {}

    def start(self) -> None:
        """Look from now on, in a thread that ends with the process."""
        threading.Thread(target=self._watch, name="live-buckets", daemon=True).start()

    def look(self) -> bool:
        """Take newer buckets in if there are any or they have changed; whether the store could be read."""
        now = int(self._clock() * 1000) // buckets.bucket_ms(self._tables.features)
        try:
            names = self._redis.zrangebyscore(buckets.INDEX, f"({self._last}", f"({now}")
            pipe = self._redis.pipeline(transaction=False)
            for name in names:
                pipe.hget(name, buckets.TOTAL)
            totals = {name: int(total) for name, total in zip(names, pipe.execute()) if total is not None}
            changed = [name for name, total in totals.items() if self._known.get(name, (0, {}))[0] != total]
            read = {name: self._redis.hgetall(name) for name in changed}
        except redis.RedisError as error:
            log.warning("trending knows nothing of what the stream counts now: %s", error)
            return False
        if changed or totals.keys() != self._known.keys():
            self._known = {name: held for name, held in self._known.items() if name in totals}
            self._known |= {name: _counts(name, fields) for name, fields in read.items() if fields}
            self._take(self._buckets())
        return True

    def _buckets(self) -> Buckets:
        """All that is known, as the release has it; items outside of its catalogue come with the next one."""
        regions: dict[str, int] = {}
        rows = [
            (buckets.number_of(name.decode()), regions.setdefault(region, len(regions)), self._codes[item], count)
            for name, (_, counts) in self._known.items()
            for (region, item), count in counts.items()
            if item in self._codes
        ]
        # By region, then bucket, as a release's lie.
        number, region, item, count = np.array(sorted(rows, key=lambda row: row[1::-1]), np.int32).reshape(-1, 4).T
        return Buckets(number, region, item, count, regions)

    def _watch(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                log.exception("the stream's counts could not be taken in")
            time.sleep(PERIOD_SECONDS)


def _counts(name: bytes, fields: Mapping[bytes, bytes]) -> tuple[int, Counts]:
    """The sum of a bucket's hash, and what it counts."""
    number = buckets.number_of(name.decode())
    held = {field.decode(): int(count) for field, count in fields.items()}
    total = held.pop(buckets.TOTAL)
    named = {buckets.parse(number, field): count for field, count in held.items()}
    return total, {(bucket.region, bucket.item_id): count for bucket, count in named.items()}
