"""The direct reader of the online store: one pipeline of HMGET a batch, decoded by ``contracts/online_layout.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.config import FeatureSettings
from contracts.errors import StackError
from contracts.features import feature_views
from contracts.online_layout import PROJECT, decode, fields, row_key

#: A read takes half a millisecond; whoever waits longer is answered without it.
_TIMEOUT_SECONDS = 0.1
#: After so many timeouts in a row, the first of which may be a hiccup of a busy machine...
_PATIENCE = 2
#: ...the store is left alone for so long: a store that hangs must not hold every batch for the timeout.
_PAUSE_SECONDS = 0.5


class OnlineStore:
    """Reads users' rows; connects at the first read."""

    def __init__(self, address: str, settings: FeatureSettings, clock: Callable[[], float] = time.monotonic):
        host, _, port = address.rpartition(":")
        self._client = redis.Redis(
            host=host,
            port=int(port),
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            # Once at once: a connection that was kept from before a restart of Redis fails at its first use.
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[redis.ConnectionError],
        )
        self._views = feature_views(settings)
        self._fields = [fields(view) for view in self._views]
        self._clock = clock
        self._timeouts = 0  # in a row
        self._paused_until = 0.0

    def read(self, user_ids: Sequence[str]) -> list[dict[str, Any] | StackError]:
        """Raw rows of users, defaults where there is none; an error in the place of a row that cannot be decoded.

        Raises:
            StackError: when the store does not answer in time.
        """
        wanted = [name for names in self._fields for name in names]
        pipeline = self._client.pipeline(transaction=False)
        for user_id in user_ids:
            pipeline.hmget(row_key(PROJECT, "user_id", user_id), wanted)  # pyright: ignore[reportArgumentType]
        if self._clock() < self._paused_until:
            raise StackError("online store timed out a moment ago and was not asked")
        try:
            found = pipeline.execute()
        except redis.TimeoutError:
            self._timeouts += 1
            if self._timeouts >= _PATIENCE:
                self._paused_until = self._clock() + _PAUSE_SECONDS
            raise StackError(f"online store did not answer within {_TIMEOUT_SECONDS} s") from None
        except redis.RedisError as error:
            raise StackError(f"online store cannot be read: {error}") from None
        self._timeouts = 0
        return [self._row(values) for values in found]

    def _row(self, values: list[bytes | None]) -> dict[str, Any] | StackError:
        row: dict[str, Any] = {}
        start = 0
        try:
            for view, names in zip(self._views, self._fields):
                row |= decode(view, values[start : start + len(names)])
                start += len(names)
        except ValueError as error:
            return StackError(f"online row cannot be decoded: {error}")
        return row
