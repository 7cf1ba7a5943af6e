"""Faults on purpose, for drills only: ``TRIREME_FAULT`` names a file, and what stands in it happens to a step.

The file holds ``STAGE:raise`` or ``STAGE:hang``; empty or absent, nothing happens. Where the variable is not set, which
is the rule, no file is looked at. (The C++ twin knows ``STAGE:slow`` as well, for a test of its batches.)
"""

from __future__ import annotations

import threading
from pathlib import Path

#: A hang ends after so long, in a process that nobody has replaced.
HANG_SECONDS = 3600.0


class FaultError(Exception):
    """The error that a drill asked for."""


class Faults:
    """What a drill does to one step."""

    def __init__(self, file: str, stage: str):
        self._file = Path(file) if file else None
        self._stage = stage

    def strike(self) -> None:
        """Raise or hang, when the file says so.

        Raises:
            FaultError: on ``STAGE:raise``.
        """
        if self._file is None:
            return
        try:
            stage, _, kind = self._file.read_text(encoding="utf-8").strip().partition(":")
        except OSError:
            return
        if stage == self._stage and kind == "raise":
            raise FaultError("a drill made it raise")
        if stage == self._stage and kind == "hang":
            threading.Event().wait(HANG_SECONDS)
