"""What a streaming test works with: services on free ports, a data root, and ways to put events in and get rows out."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from tests.streaming.services import (  # isort: skip (imports kafka without its warning)
    PROJECT,
    Process,
    broker,
    free_port_base,
    redis_server,
    running,
    streaming,
)
from contracts import item_state, online_layout
from contracts.artifacts import Zones, write_manifest, zones
from contracts.config import Config, load
from contracts.events import Event
from contracts.features import user_behaviour
from streaming import codec, topics
from streaming.catalogue import Catalogue
from streaming.online import OnlineStore, Position
from streaming.publisher import Publisher, Record
from streaming.settings import StreamSettings, stream_settings

__all__ = ["NOW", "Stack", "assert_same_row", "click", "dwell", "running"]

CONFIG = PROJECT / "configs/smoke.toml"
NOW = int(time.time() * 1000)
#: Item id -> department, of the lake that ``Stack.fill`` writes.
DEPARTMENTS = {f"i{n}": f"department-{n % 3}" for n in range(30)}


def catalogue() -> Catalogue:
    """What the processor knows of these items."""
    return Catalogue("department", DEPARTMENTS)


def click(user: str, event_id: str, item: str = "i1", ago_ms: int = 0, kind: str = "click") -> Event:
    """An interaction that happened a while ago."""
    return Event(event_id=event_id, event_type=kind, event_time=NOW - ago_ms, user_id=user, item_id=item)


def moved(item: str, event_id: str, department: str, ago_ms: int = 0) -> Event:
    """An item that belongs to another department from its time on."""
    return said(item, event_id, ago_ms, department=department)


def said(item: str, event_id: str, ago_ms: int = 0, **attributes: str) -> Event:
    """An update of an item."""
    return Event(event_id, "item_update", NOW - ago_ms, item_id=item, attributes=attributes)


def dwell(user: str, event_id: str, ms: float, ago_ms: int = 0) -> Event:
    """A report of time spent on an item."""
    return dataclasses.replace(click(user, event_id, ago_ms=ago_ms, kind="dwell"), value=ms)


def assert_same_row(got: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Equal to the last value; decayed counts to 1e-9 (an incremental sum rounds differently from one in one go)."""
    assert list(got) == list(expected)
    for name, value in expected.items():
        if name.startswith("category_counts"):
            value = pytest.approx(list(value), rel=1e-9)
        assert got[name] == (list(value) if isinstance(value, tuple) else value), name


@dataclasses.dataclass
class Stack:
    """Services of one test module; ``process`` makes those of Trireme's own."""

    folder: Path
    environ: dict[str, str]
    settings: StreamSettings
    config: Config
    zones: Zones
    broker: Process
    redis: Process

    @staticmethod
    def at(folder: Path) -> Stack:
        """A stack whose files lie in ``folder``; nothing runs yet."""
        environ = {"TRIREME_ROOT": str(folder / "root"), "TRIREME_PORT_BASE": str(free_port_base(40))}
        settings, config = stream_settings(environ), load(CONFIG)
        return Stack(
            folder=folder,
            environ=environ,
            settings=settings,
            config=config,
            zones=zones(settings.root, config),
            broker=broker(int(settings.kafka.rpartition(":")[2]), folder / "broker.log"),
            redis=redis_server(settings.redis_address[1], folder / "redis.log"),
        )

    def items(self) -> dict[str, dict[str, str]]:
        """What the online store holds of items: the newest value of each attribute that was said."""
        with self.client() as client:
            held = client.hgetall(item_state.KEY)
            assert client.get(item_state.VERSION)
        return {name.decode(): item_state.values(item_state.decode(data)) for name, data in held.items()}

    def port(self, name: str) -> int:
        """Where a process of Trireme's own answers HTTP."""
        return getattr(self.settings, f"{name}_port")

    def process(self, name: str, *options: str) -> Process:
        return streaming(name, CONFIG, self.port(name), self.folder / f"{name}.log", self.environ, *options)

    def fill(self, history: Iterable[Event] = (), fingerprint: str = "first") -> None:
        """Write a processed zone: these events and the items of ``DEPARTMENTS``."""
        folder = Path(self.zones.processed)
        (folder / "events/day=2024-01-01").mkdir(parents=True, exist_ok=True)
        rows = [event.to_dict() for event in history]
        types = {"event_time": pa.int64(), "value": pa.float64()}
        columns = {
            name: pa.array([row[name] for row in rows], types.get(name, pa.string()))
            for name in ("event_id", "event_type", "event_time", "user_id", "item_id", "region", "value")
        }
        pq.write_table(pa.table(columns), folder / "events/day=2024-01-01/part.parquet")
        items = {"item_id": list(DEPARTMENTS), "department": list(DEPARTMENTS.values())}
        pq.write_table(pa.table(items), folder / "items.parquet")
        changes = pa.schema([("item_id", pa.string()), ("valid_from", pa.int64()), ("department", pa.string())])
        pq.write_table(changes.empty_table(), folder / "item_changes.parquet")
        write_manifest(self.zones.processed, fingerprint)

    def publish(self, events: Sequence[Event], pause: float = 0) -> None:
        """Events to the topic, as the collector sends them, in batches of 50 with a pause after each."""
        self.send(
            [Record((event.user_id or event.item_id or "").encode(), codec.encode(event)) for event in events], pause
        )

    def send(self, records: Sequence[Record], pause: float = 0) -> None:
        """Records of any kind to the topic, in batches of 50 with a pause after each."""
        publisher = Publisher(self.settings, ack_seconds=5)
        try:
            for start in range(0, len(records), 50):
                publisher.publish(records[start : start + 50])
                time.sleep(pause)
        finally:
            publisher.close()

    def topic(self) -> list[Event]:
        """All events of the topic."""
        topic = topics.ensure(self.settings)
        client = topics.consumer(self.settings, dict.fromkeys(topic.partitions, 0), wait_ms=50)
        events: list[Event] = []
        quiet = 0
        while quiet < 2:
            batch = [record for records in client.poll(timeout_ms=150).values() for record in records]
            events += [codec.decode(record.value) for record in batch]
            quiet = 0 if batch else quiet + 1
        client.close(autocommit=False)
        return events

    def client(self) -> Any:
        host, port = self.settings.redis_address
        return redis.Redis(host, port)

    def row(self, user: str) -> dict[str, Any]:
        """A user's behaviour row, read as serving reads it."""
        view = user_behaviour(self.config.features)
        with self.client() as client:
            key = online_layout.row_key(online_layout.PROJECT, "user_id", user)
            return online_layout.decode(view, client.hmget(key, online_layout.fields(view)))

    def position(self) -> Position:
        return OnlineStore(self.settings.redis_address, self.config.features).position()

    def folded(self) -> int:
        """How many records of the topic are folded in."""
        return sum(self.position().offsets.values())

    def metrics(self, name: str) -> dict[str, float]:
        """A process's figures by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port(name)}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def post(
        self, document: Any, content_type: str = "application/json", timeout: float = 10
    ) -> tuple[int, Any, Mapping[str, str]]:
        """``POST /v1/events``: status, decoded body, headers."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.settings.collector_port}/v1/events", body, {"content-type": content_type}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.loads(answer.read()), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read()), dict(error.headers)
