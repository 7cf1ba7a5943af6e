"""What no committed file may say: paths of one machine, hosts of package registries, marks of unfinished work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, text

SELF = Path(__file__).resolve().relative_to(ROOT)
#: The lock file names where each package came from.
LOCK = Path("uv.lock")

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(work|root|home|Users)/\w",
    "a host of a package registry": r"\b(pypi|pythonhosted|anaconda|npmjs|proxy\.golang)\.(org|com)\b|\bcrates\.io\b",
    "a mark of unfinished work": r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError",
    "a merge that was not finished": r"^(<{7}|>{7}|={7})( |$)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path}:{content[: match.start()].count(chr(10)) + 1}: {match.group()}"
        for path in files()
        if path not in (SELF, LOCK) and (content := text(path)) is not None
        for match in pattern.finditer(content)
    ]
    assert not found, "\n".join(found)


def test_no_module_is_a_drawer() -> None:
    """A helper lives with its only user; with users in two stages it is a contract (DESIGN 2)."""
    drawers = {"utils", "util", "common", "helpers", "core", "misc"}
    found = [str(path) for path in files() if drawers & {part.removesuffix(".py") for part in path.parts}]
    assert not found


def test_no_committed_file_is_large() -> None:
    """Data and binaries come from wheels and runs, never from git."""
    found = {str(path): size for path in files() if (size := (ROOT / path).stat().st_size) > 400_000}
    assert not found
