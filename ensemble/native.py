"""The C++ twin of the steps behind a pipe (``ensemble/backend/probe.cc``): a JSON document a line in, one out."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from contracts.errors import StackError, TriremeError
from contracts.tensors import STEPS
from ensemble import golden
from ensemble.steps.release import Release

#: What `make backend` builds of it.
PROGRAM = Path(__file__).resolve().parent / "backend" / "build" / "probe"
PLAN = " ".join(step.name for step in STEPS)


class RefusedError(TriremeError):
    """What the C++ code says of what it was asked."""


class Core:
    """A process that runs the C++ steps; ends with its context."""

    def __init__(self, program: Path = PROGRAM, errors: IO[bytes] | int | None = None):
        try:
            self._process = subprocess.Popen(
                [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        except FileNotFoundError:
            raise StackError(f"the C++ backend is not built ({program} is not there); run: make backend") from None

    def __enter__(self) -> Core:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __call__(self, call: str, **fields: Any) -> Any:
        """The result of one of the calls that ``probe.cc`` lists.

        Raises:
            RefusedError: with what the C++ code threw.
            StackError: when it died.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"call": call, **fields}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise StackError(f"the C++ backend died of a call of {call!r}, with status {self.close()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer["result"]

    def load(self, release: Release, plan: str = PLAN, **fields: Any) -> None:
        """Load a release; ``fields`` may say ``redis`` (``host:port``), ``variant`` and ``fault``."""
        self("load", release=str(release.root), onnxruntime=str(_library()), plan=plan, **fields)

    def answer(self, *asked: tuple[bytes, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
        """Answers of one batch to bodies, each with a golden row (``row``, ``as_of``) or none."""
        return self.mixed([(one, False) for one in asked])

    def answer_in_time(self, *asked: tuple[bytes, Mapping[str, Any] | None]) -> tuple[list[dict[str, Any]], dict]:
        """The same under the budget of the requests, and how many threads of each stage hang."""
        found = self("answer_in_time", requests=[_request(*one) for one in asked])
        return found["answers"], found["hung"]

    def similar(self, *asked: tuple[bytes, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
        """The same of requests for items like an item."""
        return self.mixed([(one, True) for one in asked])

    def mixed(self, asked: Sequence[tuple[tuple[bytes, Mapping[str, Any] | None], bool]]) -> list[dict[str, Any]]:
        """Answers of one batch; of each request, whether it asks for items like an item."""
        return self("answer", requests=[{**_request(*one), "similar": similar} for one, similar in asked])

    def replayed(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a golden entry."""
        asked = golden_of(entry)
        return (self.similar(asked) if golden.of_an_item(entry) else self.answer(asked))[0]

    def close(self) -> int:
        """End it; its exit status."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        status = self._process.wait(60)
        self._process.stdout.close()
        return status


def replay(release: Release) -> int:
    """Answer a release's golden requests by the C++ code; how many there are.

    Raises:
        ArtifactError: naming the first that is answered otherwise than recorded.
        RefusedError: when it does not take the release.
        StackError: when it is not built.
    """
    with Core() as core:
        core.load(release)
        return golden.compare(release, core.replayed)


def _request(body: bytes, row: Mapping[str, Any] | None) -> dict[str, str]:
    return {"body": body.decode("latin-1"), **({} if row is None else {"golden_row": json.dumps(row)})}


def golden_of(entry: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """A golden entry as ``Core.answer`` takes it."""
    return json.dumps(entry["request"]).encode(), {"row": entry["row"], "as_of": entry["as_of"]}


def _library() -> Path:
    """The library of the onnxruntime wheel."""
    folder = Path(str(importlib.metadata.distribution("onnxruntime").locate_file("onnxruntime/capi")))
    return next(folder.glob("libonnxruntime.so.*"))
