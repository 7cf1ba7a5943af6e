"""The C++ backend, built once a session, and its core behind a pipe."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.native import Core
from ensemble.steps.release import Release

BACKEND = Path(__file__).resolve().parents[3] / "ensemble" / "backend"


def make(*targets: str, **settings: str) -> None:
    """Build, or skip where there is no compiler: then there is no backend, and python steps serve."""
    if shutil.which("g++") is None:
        pytest.skip("no g++: python steps serve")
    named = [f"{name}={value}" for name, value in settings.items()]
    made = subprocess.run(["make", "-j2", "-C", str(BACKEND), *named, *targets], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-4000:]


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """The core with AddressSanitizer and UBSan: whatever the tests ask of it is asked under their eyes."""
    make("build/sanitized/probe", SANITIZE="1")
    log = tmp_path_factory.mktemp("core") / "log"
    with log.open("wb") as errors:
        started = Core(BACKEND / "build" / "sanitized" / "probe", errors)
        yield started
        status = started.close()
    assert status == 0, log.read_text(errors="replace")[-3000:]


@pytest.fixture
def serving(core: Core, release: Release) -> Core:
    """The core with the made-up release, and nobody where Redis should be."""
    core.load(release)
    return core
