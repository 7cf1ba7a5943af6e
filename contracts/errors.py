"""Every error that Trireme raises on purpose.

TriremeError
├── ConfigError       a setting is wrong: lists every problem at once
├── ArtifactError     a stage's input is missing, half written or of another data set
├── EventError        an event breaks the contract (``code``, ``field``)
├── RequestError      a request breaks the contract (``field``)
├── ClientError       a client got no answer, or none that it can read (``status``)
├── TrainError        processes that train together cannot start, or do not agree
├── GateError         a release is not good enough to serve
└── StackError        a part of the local stack cannot start or does not answer
"""

from __future__ import annotations

from collections.abc import Sequence


def shown(value: object) -> str:
    """A value that came from outside, as a message shows it: short and printable, whatever its size, depth or letters.

    ``str`` of an integer of 5,000 digits or of a list nested 900 deep raises, and a lone surrogate cannot be sent.
    """
    if isinstance(value, str):
        return repr(value[:64])
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, (int, float)):
        return repr(value)
    return f"a {type(value).__name__}"


def shown_name(name: object) -> str:
    """The name of a field that came from outside: as ``shown``, without quotes."""
    return shown(name)[1:-1] if isinstance(name, str) else shown(name)


class TriremeError(Exception):
    """Root of the tree: its text says what was expected, what came, and what to do."""


class ConfigError(TriremeError):
    """One or more settings are wrong; ``problems`` holds a line for each."""

    def __init__(self, origin: str, problems: Sequence[str]):
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{origin}: {len(self.problems)} problem(s)\n{lines}")


class ArtifactError(TriremeError):
    """What a stage reads is missing, incomplete, or was made from other settings."""


class EventError(TriremeError):
    """An event breaks the contract; ``code`` is one of ``contracts.events.Reason``."""

    def __init__(self, code: str, field: str, message: str):
        self.code = code
        self.field = field
        super().__init__(f"{field}: {message}")


class RequestError(TriremeError):
    """A recommendation request breaks the contract; answered with HTTP 400 or INVALID_ARGUMENT."""

    def __init__(self, field: str, message: str):
        self.field = field
        super().__init__(f"{field}: {message}")


class ClientError(TriremeError):
    """No answer can be had, or read; ``status`` is that of the last HTTP answer, 0 without one."""

    def __init__(self, message: str, status: int = 0):
        self.status = status
        super().__init__(message)


class TrainError(TriremeError):
    """Processes that train together cannot start, one of them failed, or they do not agree."""


class GateError(TriremeError):
    """A candidate release is not good enough to serve: its text names the figure and what was asked for."""


class StackError(TriremeError):
    """A part of the local stack cannot start, or does not answer in time."""
