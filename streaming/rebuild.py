"""The online store from the lake: everything anew, or only what a broker took with it.

*Rebuild*, when Redis is empty or the history is another one: history and live files are folded user by user with
``contracts.folds.fold``. *Catch up*, when only the broker forgot: states stay, and the live records of former
incarnations that were not folded in yet are. What the topic holds beyond the lake's files is folded in afterwards by
the processor. Both can be repeated after a crash at any point: the position is written last, and event ids are known.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from contracts import live_files
from contracts.artifacts import Zones
from contracts.buckets import Bucket
from contracts.config import Config
from contracts.errors import ArtifactError, StackError
from contracts.features import MS_PER_DAY
from contracts.folds import UserState, fold
from streaming import lake, topics, updates
from streaming.online import FencedError, OnlineStore, Position
from streaming.settings import StreamSettings
from streaming.topics import Topic
from streaming.watch import TopicWatch

log = logging.getLogger(__name__)

_USERS_AT_ONCE = 250
_EVENTS_AT_ONCE = 2000
_ATTEMPTS = 3
#: Days of the history whose counts are kept online too: a release may be that much older than the history.
BATCH_OVERLAP_DAYS = 30
#: How long the command waits for the running processor, and how often it looks.
WAIT_SECONDS, _POLL_SECONDS = 180, 0.2


class Made(NamedTuple):
    """What was done to the store.

    Attributes:
        position: where the processor goes on.
        anew: whether everything was rebuilt.
        events: interactions and dwell reports folded.
        users: rows written.
        seconds: how long it took.
    """

    position: Position
    anew: bool
    events: int
    users: int
    seconds: float


Progress = Callable[[int, int], None]


def is_current(position: Position, topic: Topic, origin: str) -> bool:
    """Whether the processor can go on where it was."""
    return position.incarnation == topic.incarnation and position.origin == origin


def make_current(
    store: OnlineStore,
    config: Config,
    zones: Zones,
    topic: Topic,
    progress: Progress = lambda users, events: None,
) -> Made:
    """Rebuild or catch up, whichever is due; the store must be leased to this process."""
    for attempt in range(_ATTEMPTS):
        position = store.position()
        try:
            if position.incarnation and position.origin == lake.origin(config, zones):
                return catch_up(store, config, zones, topic)
            return rebuild(store, config, zones, topic, progress)
        except FileNotFoundError as error:
            log.warning("attempt %d: the lake writer merged files while they were read: %s", attempt + 1, error)
    raise ArtifactError(f"{zones.raw}/live changed {_ATTEMPTS} times while it was read: is someone deleting there?")


def rebuild(
    store: OnlineStore,
    config: Config,
    zones: Zones,
    topic: Topic,
    progress: Progress = lambda users, events: None,
) -> Made:
    """Fold the whole lake, write every state and row, and take away those of users that it does not know.

    Counts by bucket begin ``BATCH_OVERLAP_DAYS`` before the history's end: the batch has counted what is older.
    """
    started = time.perf_counter()
    origin = lake.origin(config, zones)
    store.invalidate()
    files = live_files.live_files(zones)
    stale = store.users()
    events = users = 0
    states: dict[str, UserState] = {}
    first, newest = (lake.log_end(zones) // MS_PER_DAY - BATCH_OVERLAP_DAYS) * MS_PER_DAY, 0
    counts = Counter[Bucket]()
    for user, history in lake.histories(zones, files, lake.catalogue(config, zones, files)):
        states[user] = fold([each.event for each in history], config.features)
        stale.discard(user)
        newest = max(newest, states[user].last_event_time)
        recent = [each for each in history if each.event.event_time >= first]
        counts.update(counted[1] for each in recent if (counted := each.counted(config.features)))
        users, events = users + 1, events + len(history)
        if len(states) == _USERS_AT_ONCE:
            store.put(states)
            states = {}
            progress(users, events)
    store.put(states)
    store.drop(stale)
    folded = live_files.ends(files)
    position = Position(topic.incarnation, origin, _offsets(folded, topic), dict.fromkeys(topic.partitions, newest))
    store.finish(position, folded, counts, lake.item_updates(files))
    return Made(position, True, events, users, time.perf_counter() - started)


def catch_up(store: OnlineStore, config: Config, zones: Zones, topic: Topic) -> Made:
    """Fold the live records of former incarnations that the processor did not come to before the broker forgot them."""
    started = time.perf_counter()
    was = store.position()
    folded = {**store.folded(), was.incarnation: dict(was.offsets)}
    live = live_files.live_files(zones)
    files = [file for file in live if file.incarnation != topic.incarnation]
    missed = lake.beyond(files, folded, lake.catalogue(config, zones, live))
    written: set[str] = set()
    newest = dict(was.newest)
    for start in range(0, len(missed), _EVENTS_AT_ONCE):
        batch = missed[start : start + _EVENTS_AT_ONCE]
        held = store.states(list({each.user_id for each in batch}))
        changes = updates.apply(held, batch, config.features, newest)
        store.put_changes(changes)
        written.update(changes.states)
        newest |= {partition: added.newest for partition, added in changes.counted.items()}
    for incarnation, offsets in live_files.ends(files).items():
        known = folded.setdefault(incarnation, {})
        for partition, offset in offsets.items():
            known[partition] = max(known.get(partition, 0), offset)
    position = Position(topic.incarnation, was.origin, _offsets(folded, topic), newest)
    store.finish(position, folded, items=lake.item_updates(live))
    return Made(position, False, len(missed), len(written), time.perf_counter() - started)


def command(
    settings: StreamSettings, config: Config, zones: Zones, force: bool, status: Callable[[str], None]
) -> dict[str, Any]:
    """Make sure that the store is current: by the running processor, or here where none runs.

    Raises:
        StackError: when Redis or the broker does not answer, or the processor does not finish in time.
    """
    store = OnlineStore(settings.redis_address, config.features)
    try:
        topic, origin = topics.ensure(settings), lake.origin(config, zones)
        if not force and is_current(store.position(), topic, origin):
            return {"rebuilt": False, "reason": "the online store is current"}
        if not store.lease():
            return _by_processor(store, settings, origin, status)
        with TopicWatch(settings, topic.incarnation, also=lambda: None if store.lease() else "the lease is lost"):
            if force:
                store.invalidate()
            made = make_current(
                store, config, zones, topic, lambda users, events: status(f"{users:,} users, {events:,} events")
            )
        store.release()
    except FencedError as error:
        raise StackError(f"{error}: run the command again") from error
    except RedisError as error:
        raise StackError(f"the online store at {settings.redis} does not answer: {error}; is it up?") from error
    return {"rebuilt": made.anew, "by": "command", "users": made.users, "events": made.events, "seconds": made.seconds}


def _by_processor(
    store: OnlineStore, settings: StreamSettings, origin: str, status: Callable[[str], None]
) -> dict[str, Any]:
    """Ask the running processor for a rebuild, and wait until its position is good again."""
    started = time.perf_counter()
    store.invalidate()
    status("waiting for the processor's rebuild")
    while not is_current(store.position(), topics.ensure(settings), origin):
        if time.perf_counter() - started > WAIT_SECONDS:
            raise StackError(f"the processor did not rebuild within {WAIT_SECONDS} s: see its log")
        time.sleep(_POLL_SECONDS)
    return {"rebuilt": True, "by": "processor", "seconds": time.perf_counter() - started}


def _offsets(folded: Mapping[str, Mapping[int, int]], topic: Topic) -> dict[int, int]:
    """Where to go on in the topic as it is now."""
    known = folded.get(topic.incarnation, {})
    return {partition: known.get(partition, 0) for partition in topic.partitions}
