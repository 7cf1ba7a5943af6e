"""One made-up world a session: its zones, the release exported from them, and its steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from contracts.artifacts import Zones
from ensemble import export
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.ensemble.made_up import World
from tests.running import free_port_base
from tests.streaming.services import Process, redis_server, running


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def place(world: World, tmp_path_factory: pytest.TempPathFactory) -> Zones:
    """Zones with a candidate release."""
    folder = tmp_path_factory.mktemp("root")
    place = world.write(str(folder))
    export.run(world.config, place, fill=folder / "repository")
    return place


@pytest.fixture(scope="session")
def release(place: Zones) -> Release:
    return Release.open(export.candidate_url(place))


@pytest.fixture(scope="session")
def chain(release: Release) -> Chain:
    return Chain(release)


@pytest.fixture
def damaged(release: Release, tmp_path: Path) -> Iterator[Path]:
    """A copy of the release that a test may damage."""
    for name in [*release.document["files"], "release.json"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((release.root / name).read_bytes())
    yield tmp_path


@pytest.fixture(scope="session")
def online_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A Redis for all tests that look at live state; each begins with it empty (``online``)."""
    process = redis_server(free_port_base(), tmp_path_factory.mktemp("redis") / "log")
    with running(process):
        yield process


@pytest.fixture
def online(online_store: Process) -> Iterator[redis.Redis]:
    with redis.Redis(port=online_store.port) as client:
        client.flushall()
        yield client
