"""The direct reader against a real Redis, and against one that is gone, hangs, or holds nonsense."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import redis

from contracts.errors import StackError
from contracts.features import feature_views
from contracts.online_layout import PROJECT, encode, row_key
from deploy.parts import redis_argv
from ensemble.online import OnlineStore
from ensemble.steps.chain import Chain
from tests.ensemble.made_up import CUT, World
from tests.running import free_port_base, process, wait_until


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("redis"), free_port_base()
    argv = redis_argv(port, folder)
    with process(argv, folder / "redis.log"):

        def answers() -> bool:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True

        wait_until(answers, "redis", folder / "redis.log")
        yield f"127.0.0.1:{port}"


@pytest.fixture
def client(address: str) -> Iterator[redis.Redis]:
    client = redis.Redis(port=int(address.split(":")[1]))
    yield client
    client.flushall()
    client.close()


def write(client: redis.Redis, world: World, user: int) -> dict:
    row = world.row(user, CUT)
    for view in feature_views(world.config.features):
        client.hset(row_key(PROJECT, "user_id", world.user_ids[user]), mapping=encode(view, row, CUT))
    return row


def listed(row: dict) -> dict:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


@pytest.mark.integration
def test_rows_are_read_as_they_were_written_and_who_has_none_gets_defaults(
    address: str, client: redis.Redis, world: World, chain: Chain
) -> None:
    written = [write(client, world, user) for user in (1, 2)]
    found = OnlineStore(address, world.config.features).read(["user-1", "nobody", "user-2"])
    assert [listed(row) for row in found] == [listed(x) for x in (written[0], chain.lookup.unknown_row(), written[1])]


@pytest.mark.integration
def test_a_user_of_whom_only_clicks_are_known_has_defaults_for_the_rest(
    address: str, client: redis.Redis, world: World
) -> None:
    row = world.row(1, CUT)
    behaviour = feature_views(world.config.features)[0]
    client.hset(row_key(PROJECT, "user_id", "new"), mapping=encode(behaviour, row, CUT))
    (found,) = OnlineStore(address, world.config.features).read(["new"])
    assert found["recent_item_ids"] == row["recent_item_ids"]
    assert (found["home_region"], list(found["seen_item_ids"])) == ("", [])


@pytest.mark.integration
def test_a_row_that_is_none_costs_only_its_own_user(address: str, client: redis.Redis, world: World) -> None:
    write(client, world, 1)
    key = row_key(PROJECT, "user_id", "broken")
    client.hset(key, mapping=dict.fromkeys(client.hkeys(row_key(PROJECT, "user_id", "user-1")), b"\xff"))
    whole, broken = OnlineStore(address, world.config.features).read(["user-1", "broken"])
    assert isinstance(broken, StackError)
    assert "cannot be decoded" in str(broken)
    assert whole["interaction_count"] > 0


@pytest.mark.integration
def test_connections_that_a_restart_has_cut_are_made_anew(address: str, client: redis.Redis, world: World) -> None:
    store = OnlineStore(address, world.config.features)
    write(client, world, 1)
    store.read(["user-1"])
    client.client_kill_filter(_type="normal", skipme=True)
    assert store.read(["user-1"])[0]["interaction_count"] > 0


def test_a_store_that_is_gone_is_a_clear_error(world: World) -> None:
    with pytest.raises(StackError, match="online store cannot be read: .*refused"):
        OnlineStore(f"127.0.0.1:{free_port_base()}", world.config.features).read(["user-1"])


def test_a_store_that_hangs_is_waited_for_twice_and_then_left_alone_for_a_while(world: World) -> None:
    now = 100.0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = OnlineStore(f"127.0.0.1:{silent.getsockname()[1]}", world.config.features, clock=lambda: now)
        for _ in range(2):  # the first may have been a hiccup
            with pytest.raises(StackError, match="did not answer within 0.1 s"):
                store.read(["user-1"])
        with pytest.raises(StackError, match="was not asked"):
            store.read(["user-1"])
        now += 0.6
        with pytest.raises(StackError, match="did not answer"):
            store.read(["user-1"])
