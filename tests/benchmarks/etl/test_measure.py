"""A tool's time is its process's, its memory that of the largest process of its tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.benchmarks.etl import measure

MIB = 1 << 20


def run(code: str, folder: Path) -> measure.Measured:
    return measure.run([sys.executable, "-c", code], folder, os.environ, folder / "log")


def test_the_largest_process_of_the_tree_is_measured(tmp_path: Path) -> None:
    grown = f"import time; held = b'x' * {150 * MIB}; del held; time.sleep(0.5)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grown!r}], check=True); print('{{}}')"
    found = run(code, tmp_path)
    assert 150 < found.peak_rss_mib < 300
    assert found.seconds > 0.5


def test_what_the_start_took_is_told_apart(tmp_path: Path) -> None:
    found = run(
        "import time; time.sleep(0.6); print('a line'); print('{\"cluster_seconds\": 0.5, \"rows\": 3}')", tmp_path
    )
    assert found.start_seconds == 0.5
    assert found.seconds >= 0.1
    assert found.figures["rows"] == 3


def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(measure.ToolError, match="exit code 3(.|\n)*no such column"):
        run("import sys; sys.stderr.write('no such column'); sys.exit(3)", tmp_path)


def test_no_process_outlives_a_wait_that_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(child: object) -> None:
        raise KeyboardInterrupt

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    monkeypatch.setattr(measure.subprocess.Popen, "communicate", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("import time; time.sleep(60)", tmp_path)
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before
