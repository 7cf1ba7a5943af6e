"""The reader of the online store in C++: as ensemble/online.py reads and gives up, whatever says it is Redis."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from contracts.features import FeatureView, feature_views
from contracts.online_layout import encode, fields, row_key
from ensemble.native import Core
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.ensemble.asking import ask
from tests.ensemble.made_up import World

Reply = Callable[[socket.socket, bytes], None]


@contextmanager
def redis_that(*replies: Reply) -> Iterator[str]:
    """The address of a server that treats its connections so, one after the other; the last reply goes on."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    left = list(replies)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                reply = left.pop(0) if len(left) > 1 else left[0]
                connection.settimeout(5)
                with connection, suppress(OSError):
                    while data := connection.recv(1 << 20):
                        reply(connection, data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def rows_of(world: World, data: bytes) -> bytes:
    """What Redis would answer to a pipeline of HMGET for the world's users."""
    views = feature_views(world.config.features)
    out = b""
    for part in data.split(b"HMGET")[1:]:
        user = next((i for i in range(80) if row_key("trireme", "user_id", world.user_ids[i]) in part), None)
        out += b"*%d\r\n" % sum(len(fields(view)) for view in views)
        out += b"".join(bulk(value) for view in views for value in values(world, view, user))
    return out


def values(world: World, view: FeatureView, user: int | None) -> list[bytes | None]:
    now = int(world.time.max()) + 1
    held = {} if user is None else encode(view, world.row(user, now), now)
    return [held.get(name) for name in fields(view)]


def bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


def says(text: bytes) -> Reply:
    return lambda connection, data: connection.sendall(text)


def hangs(connection: socket.socket, data: bytes) -> None:
    time.sleep(0.4)


def hangs_up(connection: socket.socket, data: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def asked(core: Core, *users: str) -> list[dict]:
    return core.answer(*((json.dumps({"user_id": user, "k": 5}).encode(), None) for user in users))


def test_rows_of_a_batch_are_read_at_once_and_each_user_gets_its_own(
    core: Core, release: Release, chain: Chain, world: World
) -> None:
    trips: list[bytes] = []

    def reply(connection: socket.socket, data: bytes) -> None:
        trips.append(data)
        answer = rows_of(world, data)
        for start in range(0, len(answer), 700):  # in pieces, as a network would
            connection.sendall(answer[start : start + 700])

    with redis_that(reply) as address:
        core.load(release, redis=address)
        answers = asked(core, "user-1", "nobody", "user-7")
    assert len(trips) == 1
    now = int(time.time() * 1000)
    expected = ask(chain, world, [1, 7], k=5, as_of=now).answers
    assert [answers[0]["item_ids"], answers[2]["item_ids"]] == [list(one.item_ids) for one in expected]
    assert [answer["skipped"] for answer in answers] == [[]] * 3
    assert set(answers[1]["sources"]) == {"trending"}


def test_an_anonymous_history_is_read_in_the_same_trip_and_counts_as_the_users(
    core: Core, release: Release, world: World
) -> None:
    trips: list[bytes] = []

    def reply(connection: socket.socket, data: bytes) -> None:
        trips.append(data)
        connection.sendall(rows_of(world, data))

    with redis_that(reply) as address:
        core.load(release, redis=address)
        known, new, cookie, same = core.answer(
            (b'{"user_id":"user-1"}', None),
            (b'{"user_id":"just-registered","anonymous_id":"user-1"}', None),
            (b'{"anonymous_id":"user-1"}', None),
            (b'{"user_id":"user-1","anonymous_id":"user-1"}', None),
        )
    assert [answer["skipped"] for answer in (known, new, cookie, same)] == [[]] * 4
    assert (len(trips), trips[0].count(b"HMGET")) == (1, 5)
    assert new["feature_age_ms"] == known["feature_age_ms"] > 0
    assert same["item_ids"] == cookie["item_ids"] == known["item_ids"]
    assert len({*new["item_ids"]} & {*known["item_ids"]}) > 10, "all but what the user's own embedding says"
    assert (new["user_id"], cookie["user_id"]) == ("just-registered", "user-1")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (hangs_up, "connection closed"),
        (says(b"-WRONGTYPE Operation against a key\r\n"), "WRONGTYPE Operation"),
        (says(b"*2\r\n$-1\r\n$-1\r\n"), "expected as many values as fields"),
        (says(b"HTTP/1.1 400 Bad Request\r\n"), "expected *, got HTTP/1.1 400 Bad Request"),
        (says(b"*99999999999999999999\r\n"), "expected a length"),
        (says(b"x" * 5000), "expected the end of a line"),
        (says(b"*14\r\n$999999999999\r\n"), "a value is longer than any row"),
        (says(b"*14\r\n$-7\r\n"), "expected a length"),
    ],
)
def test_what_is_no_answer_degrades_the_request(core: Core, release: Release, reply: Reply, reason: str) -> None:
    number = sum(len(fields(view)) for view in feature_views(release.features))
    adjusted = reply if reply is hangs_up else lambda c, data: reply(Patched(c, number), data)  # type: ignore[arg-type]
    with redis_that(adjusted) as address:
        core.load(release, redis=address)
        (answer,) = asked(core, "user-1")
    (skipped,) = answer["skipped"]
    assert skipped["stage"] == "feature_lookup"
    assert skipped["reason"].startswith("online store cannot be read: ") and reason in skipped["reason"]
    assert len(answer["item_ids"]) == 5


class Patched:
    """A connection that says the right number of fields where a reply says 14."""

    def __init__(self, connection: socket.socket, number: int):
        self._connection, self._number = connection, number

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data.replace(b"*14\r\n", b"*%d\r\n" % self._number))


def test_a_row_that_cannot_be_decoded_harms_no_neighbour(core: Core, release: Release, world: World) -> None:
    damaged = encode(feature_views(world.config.features)[0], world.row(2, int(world.time.max())), 0)
    spoiled = next(value for value in damaged.values() if len(value) > 50)
    reply: Reply = lambda connection, data: connection.sendall(  # noqa: E731
        rows_of(world, data).replace(spoiled, b"\x00" * len(spoiled))
    )
    with redis_that(reply) as address:
        core.load(release, redis=address)
        bad, good = asked(core, "user-2", "user-3")
    assert bad["skipped"][0]["reason"].startswith("online row cannot be decoded: expected Feast's bytes of a ")
    assert (good["skipped"], good["feature_age_ms"] > 0) == ([], True)


def test_a_connection_from_before_a_restart_is_made_anew_at_once(core: Core, release: Release, world: World) -> None:
    once: list[bool] = []

    def lost_at_the_second(connection: socket.socket, data: bytes) -> None:
        if once:
            connection.shutdown(socket.SHUT_RDWR)
        else:
            once.append(True)
            connection.sendall(rows_of(world, data))

    with redis_that(lost_at_the_second, lambda connection, data: connection.sendall(rows_of(world, data))) as address:
        core.load(release, redis=address)
        assert [asked(core, "user-1")[0]["skipped"] for _ in range(3)] == [[], [], []]


def test_a_store_that_hangs_is_left_alone_for_a_while(core: Core, release: Release) -> None:
    with redis_that(hangs) as address:
        core.load(release, redis=address)
        started = time.monotonic()
        reasons = [asked(core, "user-1")[0]["skipped"][0]["reason"] for _ in range(4)]
        assert time.monotonic() - started < 0.6
    assert reasons[:2] == ["online store did not answer within 0.1 s"] * 2  # the first may have been a hiccup
    assert reasons[2:] == ["online store timed out a moment ago and was not asked"] * 2


def test_nobody_there_is_said_at_once(serving: Core) -> None:
    started = time.monotonic()
    (answer,) = asked(serving, "user-1")
    assert answer["skipped"][0]["reason"] == "online store cannot be read: cannot connect: Connection refused"
    assert time.monotonic() - started < 1
