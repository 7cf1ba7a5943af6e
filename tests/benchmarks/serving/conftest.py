"""The made-up world of ``tests/ensemble`` and the release exported from it."""

from __future__ import annotations

import pytest

from ensemble import export
from ensemble.steps.release import Release
from tests.ensemble.made_up import World


@pytest.fixture(scope="session")
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def release(world: World, tmp_path_factory: pytest.TempPathFactory) -> Release:
    place = world.write(str(tmp_path_factory.mktemp("serving")))
    export.run(world.config, place)
    return Release.open(export.candidate_url(place))
