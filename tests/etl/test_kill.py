"""kill -9 in mid-run, of a worker and of the whole command: it costs time, and neither loses nor doubles a row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from etl import synthetic
from tests.etl.conftest import ROOT, configuration

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    pq.write_table(synthetic.events(), folder / "log.parquet")
    return configuration(folder, "killed", folder / "log.parquet")


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    root = tmp_path_factory.mktemp("undisturbed")
    with started(config, root) as process:
        return finished(process), content(root)


class started:  # noqa: N801 (reads as a verb)
    """The stage as a process, ended with all its workers when the block ends."""

    def __init__(self, config: Path, root: Path):
        argv = [sys.executable, "tests/etl/many_tasks.py", str(config), str(root)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = psutil.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> psutil.Popen:
        return self.process

    def __exit__(self, *_: object) -> None:
        for each in [*family(self.process), self.process]:
            if each.is_running():
                each.kill()
        self.process.communicate()


def family(process: psutil.Popen) -> list[psutil.Process]:
    return process.children(recursive=True) if process.is_running() else []


def workers(process: psutil.Popen) -> Iterator[psutil.Process]:
    """Its worker processes; what else it started (forkserver, resource tracker) has another command line."""
    for each in family(process):
        if "multiprocessing.spawn" in " ".join(each.cmdline()) and not each.children():
            yield each


def finished(process: psutil.Popen) -> dict[str, Any]:
    said, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, errors
    return json.loads(said.splitlines()[-1])


def wait_for_files(process: psutil.Popen, folder: Path, least: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(1 for _ in folder.rglob("*.parquet")) < least:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{folder} never had {least} files"
        time.sleep(0.005)


def content(root: Path) -> dict[str, Any]:
    """What was made, whatever the files are called: events and refused rows by id, and the rows of features."""
    zone = root / "killed"
    names = ["event_id", "event_time", "user_id", "item_id", "source", "offset"]
    events = pq.read_table(zone / "processed/events", columns=names).to_pandas()
    refused = pq.read_table(zone / "quarantine/refused", columns=["event_id", "reason", "offset"]).to_pandas()
    rows = pq.read_table(zone / "features/rows", columns=["row_id", "user_id", "as_of"]).to_pandas()
    return {
        "events": events.sort_values("offset", ignore_index=True).to_dict("list"),
        "refused": refused.sort_values("offset", ignore_index=True).to_dict("list"),
        "rows": rows.sort_values("row_id", ignore_index=True).to_dict("list"),
    }


def same(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in figures.items() if "second" not in name and name not in ("skipped", "profile")
    }


@pytest.mark.parametrize("folder", ["processed/events", "features/rows"])
def test_a_killed_worker_costs_time_not_rows(
    config: Path, undisturbed: tuple[dict[str, Any], dict[str, Any]], folder: str, tmp_path: Path
) -> None:
    with started(config, tmp_path) as process:
        wait_for_files(process, tmp_path / "killed" / folder, 3)
        victim = next(workers(process))
        victim.send_signal(signal.SIGKILL)
        figures = finished(process)
    assert same(figures) == same(undisturbed[0])
    assert content(tmp_path) == undisturbed[1]


def test_a_command_killed_at_any_moment_is_made_good_by_the_next(
    config: Path, undisturbed: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    zone = tmp_path / "killed"
    for folder, least in (
        ("processed/events", 20),
        ("processed/ids", 0),
        ("features/by_user", 3),
        ("features/rows", 2),
    ):
        with started(config, tmp_path) as process:
            wait_for_files(process, zone / folder, least) if least else time.sleep(4)
            assert process.poll() is None, "it must be killed while it works"
            process.send_signal(signal.SIGKILL)
        assert not (zone / "features/manifest.json").exists()
    with started(config, tmp_path) as process:
        figures = finished(process)
    assert same(figures) == same(undisturbed[0])
    assert content(tmp_path) == undisturbed[1]
    assert not list(zone.glob("features/by_user/*"))
