"""The files that git holds or would hold, and what of them is source."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = {".py", ".lua", ".sh", ".cc", ".h"}
STAGES = ("etl", "train", "ensemble", "streaming", "deploy", "loadtest")


@cache
def files() -> tuple[Path, ...]:
    """Every file that is tracked, or new and not ignored; relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(sorted(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()))


def text(path: Path) -> str | None:
    """A file's text; None when it is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def sources(*suffixes: str) -> list[Path]:
    """Source files, of these suffixes only when some are given."""
    return [path for path in files() if path.suffix in (suffixes or SOURCE)]
