"""Which code made an artefact: part of every fingerprint of this stage."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).parent
#: The model repository's committed half: configurations and shells.
REPOSITORY = PACKAGE.parent / "triton_repo"


def code_version() -> str:
    """A hash over the stage's Python files, the contracts, and the repository's shells and configurations."""
    files = [
        *PACKAGE.rglob("*.py"),
        *(PACKAGE.parent / "contracts").rglob("*.py"),
        *REPOSITORY.glob("*/1/model.py"),
        *REPOSITORY.glob("*/config.pbtxt"),
    ]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(PACKAGE.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
