"""The versions of the events' Avro schema: committed files, each one what ``contracts/events.py`` said at its time.

A version that was committed is never written again, for records of it lie in topics and lakes; a change of the
contract gets the next number. ``compatibility`` says which changes there may be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

import contracts.events
from contracts.errors import ArtifactError
from streaming import compatibility

FOLDER = Path(contracts.events.__file__).parent / "schemas"
CONTRACT = "contracts/events.py"
COMMAND = "python -m streaming schemas"
_NAME = re.compile(r"event\.v([1-9]\d*)\.avsc")


def text() -> str:
    """The contract's schema as a version file holds it."""
    return json.dumps(contracts.events.avro_schema(), indent=2) + "\n"


def path(version: int, folder: Path = FOLDER) -> Path:
    """The file of a version."""
    return folder / f"event.v{version}.avsc"


def versions(folder: Path = FOLDER) -> list[int]:
    """The versions that have a file, in their order."""
    found = (_NAME.fullmatch(file.name) for file in folder.iterdir())
    return sorted(int(match[1]) for match in found if match)


def is_written(folder: Path = FOLDER) -> bool:
    """Whether the newest version is what the contract says."""
    known = versions(folder)
    return bool(known) and path(known[-1], folder).read_text(encoding="utf-8") == text()


def problems(folder: Path = FOLDER) -> list[str]:
    """Every rule that the versions and the contract break, a line each.

    Each version must be readable by the next one and by the contract as it is now.
    """
    known = versions(folder)
    found = [
        f"rule VERSION_MISSING: {path(version, folder).name} is gone, and old records need it; bring it back"
        for version in range(1, max(known, default=0))
        if version not in known
    ]
    read: list[tuple[str, Mapping[str, Any]]] = []
    for version in known:
        try:
            read.append((path(version, folder).name, _read(path(version, folder))))
        except ArtifactError as error:
            found.append(str(error))
    contract = (CONTRACT, contracts.events.avro_schema())
    pairs = list(zip(read, read[1:]))
    pairs += [(version, contract) for version in read[: -1 if is_written(folder) else None]]
    told: set[tuple[str, str]] = set()
    for (old_name, old), (new_name, new) in pairs:
        for line in compatibility.problems(old, new):
            if (old_name, line) not in told:
                told.add((old_name, line))
                found.append(f"{old_name} -> {new_name}: {line}")
    return found


def check(folder: Path = FOLDER) -> None:
    """Prove that old records stay readable and that the newest version is the contract's.

    Raises:
        ArtifactError: with every problem at once.
    """
    found = problems(folder)
    if not found and not is_written(folder):
        newest = path(versions(folder)[-1], folder).name if versions(folder) else "no version"
        following = path(_next(folder), folder).name
        found = [f"{newest} is not what {CONTRACT} says: run `{COMMAND}`, which writes {following}, and commit it"]
    if found:
        raise _refusal(found)


def write(folder: Path = FOLDER) -> Path | None:
    """Write the contract's schema as the next version, unless the newest one is it already; the new file.

    Raises:
        ArtifactError: when records of a version before could not be read any more; nothing is written then.
    """
    found = problems(folder)
    if found:
        raise _refusal(found)
    if is_written(folder):
        return None
    file = path(_next(folder), folder)
    file.write_text(text(), encoding="utf-8")
    return file


def _next(folder: Path) -> int:
    return max(versions(folder), default=0) + 1


def _refusal(found: list[str]) -> ArtifactError:
    lines = "\n".join(f"  - {line}" for line in found)
    return ArtifactError(f"the schema of events: {len(found)} problem(s)\n{lines}")


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
