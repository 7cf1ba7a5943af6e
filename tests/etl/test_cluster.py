"""Where tasks run, and the command line around them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from etl import cluster
from etl.cluster import Kind

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("scheduler", "gpus", "rows", "expected"),
    [
        ("tcp://10.0.0.1:8786", 0, 10, Kind.SCHEDULER),
        ("tcp://10.0.0.1:8786", 4, 10**9, Kind.SCHEDULER),
        ("", 1, 10, Kind.CUDA),
        ("", 0, cluster.ROWS_FOR_PROCESSES, Kind.PROCESSES),
        ("", 0, cluster.ROWS_FOR_PROCESSES - 1, Kind.THREADS),
    ],
)
def test_a_named_scheduler_comes_first_then_gpus_then_the_cores(
    scheduler: str, gpus: int, rows: int, expected: Kind
) -> None:
    assert cluster.choose(scheduler, gpus, rows) is expected


@pytest.mark.parametrize(("visible", "expected"), [(None, 4), ("", 0), ("0", 1), ("1,3", 2), ("0,1,2,3,4,5", 4)])
def test_hidden_gpus_do_not_count(visible: str | None, expected: int) -> None:
    environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert cluster.gpu_count(4, environ) == expected


def test_a_machine_without_a_driver_has_no_gpu_rather_than_an_error() -> None:
    assert cluster.gpu_count(0, {}) == 0
    assert cluster.gpu_count() >= 0


def test_a_scheduler_s_address_is_used_and_left_running() -> None:
    options = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **options) as running:
        for _ in range(2):
            with cluster.connect(running.scheduler_address, 10) as client:
                assert client.gather(client.map(abs, [-1, 2])) == [1, 2]
                assert client.scheduler.address == running.scheduler_address


def test_a_cluster_of_this_machine_ends_with_its_block_and_is_reached_from_nowhere_else() -> None:
    with cluster.connect("", 10) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        listening = [each for each in psutil.Process().net_connections("inet") if each.status == psutil.CONN_LISTEN]
        assert {each.laddr.ip for each in listening} <= {"127.0.0.1"}
    assert client.status == "closed" and client.cluster.status.name == "closed"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "etl", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_check_names_every_wrong_column_at_once_without_a_traceback(tmp_path: Path) -> None:
    text = (ROOT / "configs/completejourney.toml").read_text()
    text = text.replace('"household_id"', '"houshold_id"', 1).replace('"brand"\nmanu', '"brnd"\nmanu')
    text = text.replace("demographics", "people")
    (tmp_path / "wrong.toml").write_text(text)
    done = command("check", str(tmp_path / "wrong.toml"))
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    for words in (
        "ConfigError",
        "3 problem(s)",
        "has no column 'houshold_id'; did you mean 'household_id'?",
        "has no column 'brnd'; did you mean 'brand'?",
        "source.users.url",
    ):
        assert words in said, words


def test_check_of_a_right_configuration_ends_in_one_line_of_json() -> None:
    done = command("check", "configs/completejourney.toml")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"name": "completejourney", "columns": 25}
