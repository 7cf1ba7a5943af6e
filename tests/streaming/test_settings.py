"""Addresses come from the environment, one port base moves them all, and a wrong one is named."""

import pytest

from contracts.errors import ConfigError
from streaming.settings import stream_settings


def test_one_port_base_moves_all_ports():
    one, other = (stream_settings({"TRIREME_PORT_BASE": base}) for base in ("20000", "21000"))
    for name in ("collector_port", "lake_port", "processor_port"):
        assert getattr(other, name) - getattr(one, name) == 1000
    assert (one.kafka, other.kafka) == ("127.0.0.1:20003", "127.0.0.1:21003")
    assert other.redis_address == ("127.0.0.1", 21002)


def test_services_elsewhere_are_reached_by_address():
    settings = stream_settings({"TRIREME_KAFKA": "kafka.example:9092", "TRIREME_REDIS": "redis.example:6379"})
    assert (settings.kafka, settings.redis_address) == ("kafka.example:9092", ("redis.example", 6379))


@pytest.mark.parametrize("name", ["TRIREME_KAFKA", "TRIREME_REDIS", "TRIREME_PARTITIONS"])
def test_a_wrong_variable_is_named(name):
    with pytest.raises(ConfigError, match=name):
        stream_settings({name: "nowhere"})
