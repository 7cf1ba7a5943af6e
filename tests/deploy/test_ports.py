"""Ports are looked at before anything starts, and whoever holds one is named."""

from __future__ import annotations

import os
import socket

import pytest

from contracts.errors import StackError
from deploy.ports import check_free, ports, taken
from tests.running import free_port_base


@pytest.fixture
def held():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_all_ports_move_with_the_base():
    here, there = ports(20000), ports(21000)
    assert {there[name] - here[name] for name in here} == {1000}
    assert here["public"] == 20000


def test_free_ports_are_no_error():
    table = ports(free_port_base())
    assert taken(table) == {}
    check_free(table)


def test_every_taken_port_is_named_with_its_part_and_its_holder(held):
    with pytest.raises(StackError) as caught:
        check_free({"redis": held, "kafka": held, "public": free_port_base()})
    text = str(caught.value)
    assert f"127.0.0.1:{held} (for redis) is taken by" in text
    assert f"127.0.0.1:{held} (for kafka) is taken by" in text
    assert f"(pid {os.getpid()})" in text
    assert "2 port(s)" in text
    assert "TRIREME_PORT_BASE" in text


def test_a_listener_on_all_addresses_is_seen_too():
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert list(taken({"redis": listener.getsockname()[1]})) == ["redis"]


def test_a_connection_that_lingers_after_its_server_ended_is_no_hindrance():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as every server does
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            accepted.close()  # the side that closes first keeps the connection in TIME_WAIT
    check_free({"redis": port})
