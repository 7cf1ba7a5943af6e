"""The online store from the lake: when Redis is empty, the history changed, or the broker forgot.

History and live files are folded user by user with ``contracts.folds.fold``; what the topic holds beyond the lake's
files is folded in afterwards by the processor, which goes on at their last offset. States that were made of the same
history are not thrown away but merged: they may know events of the last second that a lost broker took with it before
the lake writer had them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.errors import StackError
from contracts.folds import Interaction, UserState, fold
from streaming import lake, topics
from streaming.online import OnlineStore, Position
from streaming.settings import StreamSettings
from streaming.topics import Topic
from streaming.watch import TopicWatch

log = logging.getLogger(__name__)

_USERS_AT_ONCE = 250
#: How long the command waits for the running processor, and how often it looks.
WAIT_SECONDS, _POLL_SECONDS = 180, 0.2


class Rebuilt(NamedTuple):
    """What a rebuild did.

    Attributes:
        position: where the processor goes on.
        users: rows written.
        events: interactions folded.
        seconds: how long it took.
    """

    position: Position
    users: int
    events: int
    seconds: float


def is_needed(position: Position, topic: Topic, origin: str) -> bool:
    """Whether the store is not what the processor could go on with."""
    return position.incarnation != topic.incarnation or position.origin != origin


def rebuild(
    store: OnlineStore,
    config: Config,
    zones: Zones,
    topic: Topic,
    progress: Callable[[int, int], None] = lambda users, events: None,
) -> Rebuilt:
    """Fold the whole lake and write every state and row; the position is written last.

    Args:
        store: must be leased to this process.
        config: the data set's.
        zones: of the data set.
        topic: as the broker has it now.
        progress: called with users and events so far.
    """
    started = time.perf_counter()
    origin = lake.origin(config, zones)
    merge = store.position().origin == origin
    store.invalidate()
    files = lake.live_files(zones)
    events = users = 0
    stale = set() if merge else store.users()
    chunk: dict[str, dict[str, Interaction]] = {}

    def write() -> None:
        held = store.states(list(chunk)) if merge else {}
        states: dict[str, UserState] = {}
        for user, log_of_user in chunk.items():
            if user in held:
                for interaction in held[user].recent:
                    log_of_user.setdefault(interaction.event_id, interaction)
            states[user] = fold(list(log_of_user.values()), config.features)
        store.put(states)
        chunk.clear()

    for user, history in lake.histories(zones, files, lake.categories(config, zones)):
        chunk[user] = history
        stale.discard(user)
        users += 1
        events += len(history)
        if len(chunk) == _USERS_AT_ONCE:
            write()
            progress(users, events)
    write()
    store.drop(stale)
    offsets = lake.next_offsets(files, topic.incarnation, topic.partitions)
    position = Position(topic.incarnation, origin, offsets)
    store.finish(position)
    return Rebuilt(position, users, events, time.perf_counter() - started)


def command(
    settings: StreamSettings, config: Config, zones: Zones, force: bool, status: Callable[[str], None]
) -> dict[str, Any]:
    """Make sure that the store is rebuilt: by the running processor, or here where none runs.

    Raises:
        StackError: when Redis or the broker does not answer, or the processor does not finish in time.
    """
    store = OnlineStore(settings.redis_address, config.features)
    try:
        topic, origin = topics.ensure(settings), lake.origin(config, zones)
        if not force and not is_needed(store.position(), topic, origin):
            return {"rebuilt": False, "reason": "the online store is current"}
        if store.lease():
            with TopicWatch(settings, topic.incarnation, also=lambda: None if store.lease() else "the lease is lost"):
                done = rebuild(
                    store, config, zones, topic, lambda users, events: status(f"{users:,} users, {events:,} events")
                )
            store.release()
            return {
                "rebuilt": True,
                "by": "command",
                "users": done.users,
                "events": done.events,
                "seconds": done.seconds,
            }
        return _by_processor(store, settings, origin, status)
    except RedisError as error:
        raise StackError(f"the online store at {settings.redis} does not answer: {error}; is it up?") from error


def _by_processor(
    store: OnlineStore, settings: StreamSettings, origin: str, status: Callable[[str], None]
) -> dict[str, Any]:
    """Ask the running processor for a rebuild, and wait until its position is good again."""
    started = time.perf_counter()
    store.invalidate()
    status("waiting for the processor's rebuild")
    while is_needed(store.position(), topics.ensure(settings), origin):
        if time.perf_counter() - started > WAIT_SECONDS:
            raise StackError(f"the processor did not rebuild within {WAIT_SECONDS} s: see its log")
        time.sleep(_POLL_SECONDS)
    return {"rebuilt": True, "by": "processor", "seconds": time.perf_counter() - started}
