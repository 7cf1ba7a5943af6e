"""Whether the stack serves by the C++ backend: where it was built and answers recorded requests as recorded."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
from pathlib import Path

from contracts.stack import stack_settings
from deploy.tritonserver import NATIVE_LIBRARY

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parent.parent


@functools.cache
def serves(release: Path) -> bool:
    """Whether it does, said once: without it the python steps serve, which answer the same."""
    why_not = objection(release)
    if why_not:
        log.warning("python steps serve: %s", why_not)
    else:
        log.info("the C++ backend serves")
    return not why_not


def objection(release: Path) -> str:
    """Why the C++ backend does not serve a release; "" when nothing speaks against it."""
    if stack_settings().serve_by == "python":
        return "TRIREME_SERVE_BY=python"
    if not NATIVE_LIBRARY.is_file():
        return "the C++ backend is not built (make backend)"
    command = (sys.executable, "-m", "ensemble", "golden", str(release.resolve()), "--native")
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    said = ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"]
    return "" if ran.returncode == 0 else said[-1]
