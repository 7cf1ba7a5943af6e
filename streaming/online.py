"""The processor's side of the online store: states, Feast rows and the position in the topic, changed together.

Keys: ``trireme:state:<user>`` holds a user's state, ``trireme:position`` says up to where the topic is folded in
(``trireme:folded``: topics that are gone), the rows lie in Feast's hashes (``contracts.online_layout``), counts by
bucket in those of ``contracts.buckets``, and states of items in the one of ``contracts.item_state``. One MULTI writes
all that a batch changes, so a crash leaves either all of it or nothing; the watched position makes sure that no two
processors fold the same batch.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import redis

from contracts import folds, item_state, online_layout
from contracts.buckets import INDEX, Bucket
from contracts.config import FeatureSettings
from contracts.events import Event
from contracts.features import user_behaviour
from contracts.folds import UserState
from streaming import buckets, live_items
from streaming.updates import Changes

POSITION = "trireme:position"
FOLDED = "trireme:folded"
LEASE = "trireme:lease"
STATE = "trireme:state:"
#: The shard of the counts by bucket that holds what a rebuild found; the others are named like their partition.
LAKE_SHARD = "lake"
#: A processor that was killed keeps its successor waiting for no longer than this.
LEASE_MS = 3000
TIMEOUT_SECONDS = 5.0
_RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2]) or 0"
_RELEASE = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1]) or 0"
_SCAN_COUNT = 1000


class FencedError(Exception):
    """Someone else moved the position: what this process believes is outdated, and its batch was not written."""


@dataclasses.dataclass(frozen=True)
class Position:
    """Up to where the topic is folded into the store.

    Attributes:
        incarnation: the topic's; empty when the store must be rebuilt.
        origin: what the states are made of (``streaming.lake.origin``).
        offsets: partition -> next offset.
        newest: partition -> time of the newest interaction counted, ms.
    """

    incarnation: str = ""
    origin: str = ""
    offsets: Mapping[int, int] = dataclasses.field(default_factory=dict)
    newest: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def fields(self) -> dict[str, str]:
        """As the hash in Redis."""
        offsets = {f"offset:{partition}": str(offset) for partition, offset in self.offsets.items()}
        newest = {f"newest:{partition}": str(time) for partition, time in self.newest.items()}
        return {"incarnation": self.incarnation, "origin": self.origin, **offsets, **newest}

    @staticmethod
    def of(fields: Mapping[bytes, bytes]) -> Position:
        """The inverse of ``fields``."""
        text = {name.decode(): value.decode() for name, value in fields.items()}
        numbers: dict[str, dict[int, int]] = {"offset": {}, "newest": {}}
        for name, value in text.items():
            kind, colon, partition = name.partition(":")
            if colon:
                numbers[kind][int(partition)] = int(value)
        return Position(text.get("incarnation", ""), text.get("origin", ""), numbers["offset"], numbers["newest"])


class OnlineStore:
    """States and rows of the ``user_behaviour`` view in Redis. Making it connects to nothing."""

    def __init__(self, address: tuple[str, int], settings: FeatureSettings):
        host, port = address
        self._redis: Any = redis.Redis(
            host, port, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )
        self._settings = settings
        self._view = user_behaviour(settings)
        self._token = secrets.token_hex(8)

    def position(self) -> Position:
        """The position as it is stored."""
        return Position.of(self._redis.hgetall(POSITION))

    def invalidate(self) -> None:
        """Mark the rows as outdated: whoever processes must rebuild them first."""
        self._redis.hdel(POSITION, "incarnation")

    def lease(self) -> bool:
        """Become the one that writes, or stay it; False while another process is."""
        if self._redis.set(LEASE, self._token, nx=True, px=LEASE_MS):
            return True
        return bool(self._redis.eval(_RENEW, 1, LEASE, self._token, LEASE_MS))

    def release(self) -> None:
        """Let the next process in at once."""
        self._redis.eval(_RELEASE, 1, LEASE, self._token)

    def states(self, users: Sequence[str]) -> dict[str, UserState]:
        """The states of those ``users`` that have one."""
        return _decoded(users, self._redis.mget([STATE + user for user in users]) if users else [])

    def users(self) -> set[str]:
        """Every user that has a state."""
        prefix = len(STATE)
        return {key.decode()[prefix:] for key in self._redis.scan_iter(match=STATE + "*", count=_SCAN_COUNT)}

    def advance(
        self,
        believed: Position,
        offsets: Mapping[int, int],
        users: Sequence[str],
        fold: Callable[[Mapping[str, UserState]], Changes],
        items: Sequence[Event] = (),
    ) -> tuple[Position, Changes]:
        """Fold one batch in: read the states of users and items, and write the new ones with the position in one MULTI.

        Raises:
            FencedError: when the stored position is not ``believed``; nothing was written.
        """
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(POSITION)
            if Position.of(pipe.hgetall(POSITION)) != believed:
                raise FencedError("another process moved the position")
            changes = fold(_decoded(users, pipe.mget([STATE + user for user in users]) if users else []))
            changed = live_items.changed(pipe, items, self._settings)
            newest = {partition: added.newest for partition, added in changes.counted.items()}
            after = dataclasses.replace(
                believed, offsets={**believed.offsets, **offsets}, newest={**believed.newest, **newest}
            )
            pipe.multi()
            self._put_changes(pipe, changes)
            live_items.put(pipe, changed)
            pipe.hset(POSITION, mapping=after.fields())
            try:
                pipe.execute()
            except redis.WatchError:
                raise FencedError("another process moved the position while a batch was folded") from None
        return after, changes

    def put(self, states: Mapping[str, UserState]) -> None:
        """Write states and rows of a rebuild; the position stays invalid until ``finish``."""
        with self._redis.pipeline(transaction=False) as pipe:
            self._put(pipe, states)
            pipe.execute()

    def put_changes(self, changes: Changes) -> None:
        """Write a batch of a catching up: all of it or nothing, for a repetition recognises what has a state only."""
        with self._redis.pipeline(transaction=True) as pipe:
            self._put_changes(pipe, changes)
            pipe.execute()

    def counts(self, as_of: int) -> Counter[Bucket]:
        """The counts by bucket that are visible as of an instant, ms."""
        return buckets.visible(self._redis, as_of, self._settings)

    def drop(self, users: Iterable[str]) -> None:
        """Take away states and behaviour rows; other views' rows stay."""
        name = self._view.qualified_name
        fields = [*online_layout.fields(self._view), online_layout.timestamp_field(name)]
        with self._redis.pipeline(transaction=False) as pipe:
            for user in users:
                pipe.delete(STATE + user)
                pipe.hdel(self._key(user), *fields)
            pipe.execute()

    def folded(self) -> dict[str, dict[int, int]]:
        """Up to where former incarnations were folded in: incarnation -> partition -> next offset."""
        found: dict[str, dict[int, int]] = {}
        for name, value in self._redis.hgetall(FOLDED).items():
            incarnation, _, partition = name.decode().partition(":")
            found.setdefault(incarnation, {})[int(partition)] = int(value)
        return found

    def finish(
        self,
        position: Position,
        folded: Mapping[str, Mapping[int, int]],
        counts: Mapping[Bucket, int] | None = None,
        items: Iterable[Event] = (),
    ) -> None:
        """State that a rebuild or a catching up is complete.

        Args:
            position: where the topic goes on.
            folded: up to where former incarnations are folded in.
            counts: a rebuild's, which replace all that there are, as its items do.
            items: every update of an item that the lake holds; those that were folded in before change nothing.

        Raises:
            FencedError: when another process moved the position meanwhile; nothing was written.
        """
        former = {
            f"{incarnation}:{partition}": offset
            for incarnation, offsets in folded.items()
            for partition, offset in offsets.items()
        }
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(POSITION)
            outdated = [] if counts is None else [*buckets.keys(self._redis), INDEX, item_state.KEY]
            changed = live_items.changed(pipe if counts is None else None, items, self._settings)
            pipe.multi()
            pipe.delete(POSITION, FOLDED, *outdated)
            live_items.put(pipe, changed, anew=counts is not None)
            buckets.put(pipe, LAKE_SHARD, counts or {}, self._settings)
            pipe.hset(POSITION, mapping=position.fields())
            if former:
                pipe.hset(FOLDED, mapping=former)
            try:
                pipe.execute()
            except redis.WatchError:
                raise FencedError("another process moved the position while the store was filled") from None

    def _put_changes(self, pipe: Any, changes: Changes) -> None:
        self._put(pipe, changes.states)
        for partition, added in changes.counted.items():
            buckets.add(pipe, str(partition), added.counts, self._settings)

    def _put(self, pipe: Any, states: Mapping[str, UserState]) -> None:
        for user, state in states.items():
            pipe.set(STATE + user, folds.encode_state(state))
            row = online_layout.encode(self._view, folds.row(state, self._settings), state.last_event_time)
            pipe.hset(self._key(user), mapping=row)

    def _key(self, user: str) -> bytes:
        return online_layout.row_key(online_layout.PROJECT, self._view.entity, user)


def _decoded(users: Sequence[str], values: Sequence[bytes | None]) -> dict[str, UserState]:
    return {user: folds.decode_state(value) for user, value in zip(users, values) if value is not None}
