"""The versions of the Avro schemas of topics: committed files, each one what the contract said at its time.

A version that was committed is never written again, for records of it lie in topics and lakes; a change of the
contract gets the next number. ``compatibility`` says which changes there may be.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

import contracts.events
import contracts.impressions
from contracts.errors import ArtifactError
from streaming import compatibility

FOLDER = Path(contracts.events.__file__).parent / "schemas"
COMMAND = "python -m streaming schemas"


@dataclasses.dataclass(frozen=True)
class Subject:
    """What the records of a topic are.

    Attributes:
        record: one of them, as files of versions begin.
        name: what a schema registry calls it.
        contract: the file that says what its schema is.
        schema: that.
    """

    record: str
    name: str
    contract: str
    schema: Callable[[], dict[str, Any]]


EVENTS = Subject("event", "events-value", "contracts/events.py", lambda: contracts.events.avro_schema())
IMPRESSIONS = Subject(
    "impression", "impressions-value", "contracts/impressions.py", lambda: contracts.impressions.avro_schema()
)
SUBJECTS = (EVENTS, IMPRESSIONS)


def text(subject: Subject = EVENTS) -> str:
    """The contract's schema as a version file holds it."""
    return json.dumps(subject.schema(), indent=2) + "\n"


def path(version: int, folder: Path = FOLDER, subject: Subject = EVENTS) -> Path:
    """The file of a version."""
    return folder / f"{subject.record}.v{version}.avsc"


def versions(folder: Path = FOLDER, subject: Subject = EVENTS) -> list[int]:
    """The versions that have a file, in their order."""
    name = re.compile(rf"{subject.record}\.v([1-9]\d*)\.avsc")
    found = (name.fullmatch(file.name) for file in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def is_written(folder: Path = FOLDER, subject: Subject = EVENTS) -> bool:
    """Whether the newest version is what the contract says."""
    known = versions(folder, subject)
    return bool(known) and path(known[-1], folder, subject).read_text(encoding="utf-8") == text(subject)


def problems(folder: Path = FOLDER, subject: Subject = EVENTS) -> list[str]:
    """Every rule that the versions and the contract break, a line each.

    Each version must be readable by the next one and by the contract as it is now.
    """
    known = versions(folder, subject)
    found = [
        f"rule VERSION_MISSING: {path(version, folder, subject).name} is gone, and old records need it; bring it back"
        for version in range(1, max(known, default=0))
        if version not in known
    ]
    read: list[tuple[str, Mapping[str, Any]]] = []
    for version in known:
        try:
            read.append((path(version, folder, subject).name, _read(path(version, folder, subject))))
        except ArtifactError as error:
            found.append(str(error))
    contract = (subject.contract, subject.schema())
    pairs = list(zip(read, read[1:]))
    pairs += [(version, contract) for version in read[: -1 if is_written(folder, subject) else None]]
    told: set[tuple[str, str]] = set()
    for (old_name, old), (new_name, new) in pairs:
        for line in compatibility.problems(old, new):
            if (old_name, line) not in told:
                told.add((old_name, line))
                found.append(f"{old_name} -> {new_name}: {line}")
    return found


def check(folder: Path = FOLDER, subject: Subject = EVENTS) -> None:
    """Prove that old records stay readable and that the newest version is the contract's.

    Raises:
        ArtifactError: with every problem at once.
    """
    found = problems(folder, subject)
    if not found and not is_written(folder, subject):
        newest = (
            path(versions(folder, subject)[-1], folder, subject).name if versions(folder, subject) else "no version"
        )
        following = path(_next(folder, subject), folder, subject).name
        found = [
            f"{newest} is not what {subject.contract} says: run `{COMMAND}`, which writes {following}, and commit it"
        ]
    if found:
        raise _refusal(found, subject)


def write(folder: Path = FOLDER, subject: Subject = EVENTS) -> Path | None:
    """Write the contract's schema as the next version, unless the newest one is it already; the new file.

    Raises:
        ArtifactError: when records of a version before could not be read any more; nothing is written then.
    """
    found = problems(folder, subject)
    if found:
        raise _refusal(found, subject)
    if is_written(folder, subject):
        return None
    file = path(_next(folder, subject), folder, subject)
    file.write_text(text(subject), encoding="utf-8")
    return file


def _next(folder: Path, subject: Subject) -> int:
    return max(versions(folder, subject), default=0) + 1


def _refusal(found: list[str], subject: Subject) -> ArtifactError:
    lines = "\n".join(f"  - {line}" for line in found)
    return ArtifactError(f"the schema of {subject.record}s: {len(found)} problem(s)\n{lines}")


def _read(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        fastavro.parse_schema(document)
        if document["type"] == "record":
            return document
    # fastavro looks a schema over as it parses, so whatever is missing or of another type shows as one of these.
    except (ValueError, TypeError, KeyError, AttributeError, SchemaParseException):
        pass
    raise ArtifactError(f"rule NOT_A_SCHEMA: {file.name} is not an Avro record schema; bring the committed file back")
