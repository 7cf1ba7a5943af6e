"""Addresses and ports of the streaming processes, from the environment (all on 127.0.0.1 unless told otherwise)."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from contracts.stack import stack_settings


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """Where the streaming processes find each other.

    Attributes:
        root: data root, an fsspec URL.
        kafka: ``host:port`` of the broker.
        redis: ``host:port`` of the online store.
        partitions: of a topic, when it is created.
        collector_port: HTTP of the collector (events, health, metrics).
        lake_port: metrics of the lake writer.
        processor_port: metrics of the feature processor.
        impressions_port: metrics of the publisher of impressions.
        impressions: path of the socket that servers send impressions to; empty where they are not logged.
        impressions_kept: so many records make the topic of impressions full, and it is made anew; 0: never.
        schema_registry: URL of the schema registry; empty where the committed files are it.
    """

    root: str
    kafka: str
    redis: str
    partitions: int
    collector_port: int
    lake_port: int
    processor_port: int
    impressions_port: int
    impressions: str = ""
    impressions_kept: int = 0
    schema_registry: str = ""

    @property
    def redis_address(self) -> tuple[str, int]:
        """Host and port of the online store."""
        host, _, port = self.redis.rpartition(":")
        return host, int(port)


def stream_settings(environ: Mapping[str, str] = os.environ) -> StreamSettings:
    """The part of ``contracts.stack.stack_settings`` that the streaming processes need.

    Raises:
        ConfigError: naming every variable that is wrong.
    """
    stack = stack_settings(environ)
    return StreamSettings(
        root=stack.root,
        kafka=stack.kafka,
        redis=stack.redis,
        partitions=stack.partitions,
        collector_port=stack.port("collector"),
        lake_port=stack.port("lake_metrics"),
        processor_port=stack.port("processor_metrics"),
        impressions_port=stack.port("impressions_metrics"),
        impressions=stack.impressions,
        impressions_kept=stack.impressions_kept,
        schema_registry=stack.schema_registry,
    )
