"""A stack of real services per test module, and a small lake for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.streaming.stack import Stack, running

settings.register_profile(
    "streaming", deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("streaming")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker and Redis that run, and an empty data root."""
    stack = Stack.at(tmp_path_factory.mktemp("stack"))
    with running(stack.broker, stack.redis):
        yield stack
