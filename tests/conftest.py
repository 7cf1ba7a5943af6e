"""The whole platform on the smoke data: made once a session for every test that asks for it, and always taken down."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.running import free_port_base

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIG = "configs/smoke.toml"
#: The pipeline takes 75 s on two idle cores; a machine that does other things as well takes several times as long.
RUN_SECONDS = 900


@dataclasses.dataclass(frozen=True)
class Platform:
    """A stack of its own, with its own data and ports."""

    root: Path
    port_base: int

    @property
    def env(self) -> Mapping[str, str]:
        return {**os.environ, "TRIREME_ROOT": str(self.root), "TRIREME_PORT_BASE": str(self.port_base)}

    @property
    def zone(self) -> Path:
        """The folder of the smoke data set."""
        return self.root / "smoke"

    def call(self, *arguments: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
        """``python -m …`` of the serve environment; the exit code is the caller's business."""
        argv = [sys.executable, "-m", *arguments]
        return subprocess.run(
            argv, cwd=REPOSITORY, env=self.env, capture_output=True, text=True, timeout=seconds, check=False
        )

    def figures(self, *arguments: str) -> dict[str, Any]:
        """The last line of a command that must succeed."""
        done = self.call(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr[-4000:]}"
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, dict[str, Any]]]:
    """``make run`` on the smoke data: the platform, up, and the last line that the command said."""
    made = Platform(tmp_path_factory.mktemp("p"), free_port_base())
    try:
        yield made, made.figures("deploy", "run", CONFIG)
    finally:
        made.call("deploy", "down", CONFIG)
