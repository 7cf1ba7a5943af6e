"""The C++ backend, built once a session, and its core behind a pipe."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.native import Core
from ensemble.steps.release import Release

BACKEND = Path(__file__).resolve().parents[3] / "ensemble" / "backend"
#: SANITIZE of the Makefile -> where it builds.
FOLDERS = {"1": "build/sanitized", "thread": "build/raced"}


def make(*targets: str, **settings: str) -> None:
    """Build, or skip where there is no compiler: then there is no backend, and python steps serve."""
    if shutil.which("g++") is None:
        pytest.skip("no g++: python steps serve")
    named = [f"{name}={value}" for name, value in settings.items()]
    made = subprocess.run(["make", "-j2", "-C", str(BACKEND), *named, *targets], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-4000:]


def sanitized() -> Path:
    """The core with AddressSanitizer and UBSan, built; with TRIREME_SANITIZE=thread, with ThreadSanitizer."""
    asked = os.environ.get("TRIREME_SANITIZE", "1")
    program = FOLDERS[asked] + "/probe"
    make(program, SANITIZE=asked)
    return BACKEND / program


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """The core with sanitizers: whatever the tests ask of it is asked under their eyes."""
    log = tmp_path_factory.mktemp("core") / "log"
    with log.open("wb") as errors:
        started = Core(sanitized(), errors)
        yield started
        status = started.close()
    assert status == 0, log.read_text(errors="replace")[-3000:]


@pytest.fixture
def serving(core: Core, release: Release) -> Core:
    """The core with the made-up release, and nobody where Redis should be."""
    core.load(release)
    return core
