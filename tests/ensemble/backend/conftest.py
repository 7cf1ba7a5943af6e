"""The C++ backend, built once a session, and its core behind a pipe."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from contracts.tensors import STEPS
from ensemble.steps.release import Release

BACKEND = Path(__file__).resolve().parents[3] / "ensemble" / "backend"
PLAN = " ".join(step.name for step in STEPS)
ONNXRUNTIME = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


class Refused(Exception):
    """What the core threw."""


class Probe:
    """``ensemble/backend/probe.cc``: a document in, a document out."""

    def __init__(self, program: Path, log: Path):
        self.log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def __call__(self, call: str, **fields: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"call": call, **fields}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the core died of {call}:\n{self.log.read_text(errors='replace')[-3000:]}"
        answer = json.loads(line)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def load(self, release: Release, **fields: Any) -> None:
        asked = {"release": str(release.root), "onnxruntime": str(ONNXRUNTIME), "plan": PLAN}
        assert self("load", **{**asked, **fields})

    def answer(self, *requests: tuple[bytes, dict | None]) -> list[dict]:
        """Answers to bodies, each with a golden row or none."""
        return self("answer", requests=[asked(body, golden) for body, golden in requests])

    def close(self) -> int:
        """Its exit status: not 0 when a sanitizer found something at the end."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        status = self._process.wait(60)
        self._process.stdout.close()
        return status


def asked(body: bytes, golden: dict | None = None) -> dict:
    document = {"body": body.decode("latin-1")}
    return document if golden is None else {**document, "golden_row": json.dumps(golden)}


def make(*targets: str, **settings: str) -> None:
    """Build, or skip where there is no compiler: then there is no backend, and python steps serve."""
    if shutil.which("g++") is None:
        pytest.skip("no g++: python steps serve")
    named = [f"{name}={value}" for name, value in settings.items()]
    made = subprocess.run(["make", "-j2", "-C", str(BACKEND), *named, *targets], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-4000:]


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """The core with AddressSanitizer and UBSan: whatever the tests ask of it is asked under their eyes."""
    make("build/sanitized/probe", SANITIZE="1")
    started = Probe(BACKEND / "build" / "sanitized" / "probe", tmp_path_factory.mktemp("probe") / "log")
    yield started
    assert started.close() == 0, started.log.read_text(errors="replace")[-3000:]


@pytest.fixture
def serving(probe: Probe, release: Release) -> Probe:
    """The core with the made-up release, and nobody where Redis should be."""
    probe.load(release)
    return probe
