"""Addresses and ports of the streaming processes, from the environment (all on 127.0.0.1 unless told otherwise)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from contracts.config import stack_settings
from contracts.errors import ConfigError

DEFAULT_PARTITIONS = 4
#: Offsets from the port base, as deploy starts the stack.
REDIS_PORT, KAFKA_PORT, COLLECTOR_PORT, LAKE_PORT, PROCESSOR_PORT = 2, 3, 10, 11, 12


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """Where the streaming processes find each other.

    Attributes:
        root: data root, an fsspec URL.
        kafka: ``host:port`` of the broker.
        redis: ``host:port`` of the online store.
        partitions: of the topic ``events``, when it is created.
        collector_port: HTTP of the collector (events, health, metrics).
        lake_port: metrics of the lake writer.
        processor_port: metrics of the feature processor.
    """

    root: str
    kafka: str
    redis: str
    partitions: int
    collector_port: int
    lake_port: int
    processor_port: int

    @property
    def redis_address(self) -> tuple[str, int]:
        """Host and port of the online store."""
        host, _, port = self.redis.rpartition(":")
        return host, int(port)


def stream_settings(environ: Mapping[str, str] = os.environ) -> StreamSettings:
    """``TRIREME_KAFKA``, ``TRIREME_REDIS`` (``host:port``) and ``TRIREME_PARTITIONS`` over the stack's defaults.

    Raises:
        ConfigError: naming every variable that is wrong.
    """
    stack = stack_settings(environ)
    base = stack.port_base
    kafka = environ.get("TRIREME_KAFKA", f"127.0.0.1:{base + KAFKA_PORT}")
    redis = environ.get("TRIREME_REDIS", f"127.0.0.1:{base + REDIS_PORT}")
    partitions = environ.get("TRIREME_PARTITIONS", str(DEFAULT_PARTITIONS))
    problems = [
        f"{name}: expected host:port, got {address!r}"
        for name, address in (("TRIREME_KAFKA", kafka), ("TRIREME_REDIS", redis))
        if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdigit()
    ]
    if not partitions.isdigit() or not 1 <= int(partitions) <= 1024:
        problems.append(f"TRIREME_PARTITIONS: expected an integer from 1 to 1024, got {partitions!r}")
    if problems:
        raise ConfigError("environment", problems)
    return StreamSettings(
        root=stack.root,
        kafka=kafka,
        redis=redis,
        partitions=int(partitions),
        collector_port=base + COLLECTOR_PORT,
        lake_port=base + LAKE_PORT,
        processor_port=base + PROCESSOR_PORT,
    )
