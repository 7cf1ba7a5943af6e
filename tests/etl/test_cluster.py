"""Where tasks run, and the command line around them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster, wait
from distributed.system import MEMORY_LIMIT
from rich.console import Console

from contracts.errors import ArtifactError, StackError
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


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", "200ms")
    with (
        pytest.raises(StackError, match="'tcp://127.0.0.1:1'.*TRIREME_DASK_SCHEDULER"),
        cluster.connect("tcp://127.0.0.1:1", 10),
    ):
        pass


def listening(process: psutil.Process) -> set[str]:
    parts = [process, *process.children(recursive=True)]
    found = [each for part in parts for each in part.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    return {each.laddr.ip for each in found}


def test_a_cluster_of_this_machine_ends_with_its_block_and_is_reached_from_nowhere_else(tmp_path: Path) -> None:
    with cluster.connect("", 10, str(tmp_path / "data")) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        assert listening(psutil.Process()) == {"127.0.0.1"}
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(client.dashboard_link) as page:
            assert b"Dask" in page.read()
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["local_directory"].startswith(f"{tmp_path}/data/spilled-")
        assert 0 < worker["memory_limit"] <= cluster.MEMORY_SHARE * psutil.virtual_memory().total
        assert 0 < client.start_seconds < 120
    assert client.status == "closed" and client.cluster.status.name == "closed"
    assert [*(tmp_path / "data").iterdir()] == []


def test_results_come_in_the_order_of_their_tasks_and_leave_the_cluster() -> None:
    def late_if_small(number: int) -> int:
        time.sleep(0.2 if number < 2 else 0)
        return number

    said = io.StringIO()
    with cluster.connect("", 10) as client:
        futures = client.map(late_if_small, [0, 5, 1, 3, 5], pure=True)
        assert cluster.results(client, futures, "numbers", Console(file=said)) == [0, 5, 1, 3, 5]
        deadline = time.monotonic() + 10
        while any(client.who_has().values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(client.who_has().values())
        assert cluster.results(client, [], "nothing", Console(file=said)) == []
    assert said.getvalue() == ""


def test_the_error_of_a_task_is_raised_as_it_is_and_ends_the_others() -> None:
    started = []

    def fail(number: int) -> None:
        started.append(number)
        if number == 3:
            raise ArtifactError("part 3 is truncated")
        time.sleep(0.05)

    with cluster.connect("", 10) as client:
        futures = client.map(fail, range(400), pure=False)
        with pytest.raises(ArtifactError, match="part 3 is truncated"):
            cluster.results(client, futures, "reading", Console(file=io.StringIO()))
        assert all(future.cancelled() for future in futures)
    assert len(started) < 400


def test_without_a_terminal_a_line_says_now_and_then_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "QUIET_SECONDS", 0.3)
    said = io.StringIO()
    with cluster.connect("", 10) as client:
        futures = client.map(lambda _: time.sleep(0.1), range(20), pure=False)
        cluster.results(client, futures, "quality [1]", Console(file=said))
    lines = said.getvalue().splitlines()
    assert 1 <= len(lines) <= 6 and all(line.startswith("quality [1]: ") and line.endswith(" of 20") for line in lines)


def test_on_a_terminal_there_is_a_bar() -> None:
    said = io.StringIO()
    with cluster.connect("", 10) as client:
        cluster.results(
            client, client.map(abs, range(4), pure=False), "features", Console(file=said, force_terminal=True)
        )
    assert "features" in said.getvalue() and "4/4" in said.getvalue()


def test_results_that_memory_cannot_hold_go_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, size, results = 700 << 20, 40 << 20, 20
    workers = min(os.cpu_count() or 1, cluster.MAX_WORKERS)
    monkeypatch.setattr(cluster, "MEMORY_SHARE", limit * workers / MEMORY_LIMIT)
    with cluster.connect("", cluster.ROWS_FOR_PROCESSES, str(tmp_path / "data")) as client:
        only = next(iter(client.scheduler_info()["workers"]))
        futures = client.map(lambda i: bytes([i]) * size, range(results), pure=False, workers=[only])
        wait(futures, timeout=120)
        spilled = [path for path in (tmp_path / "data").rglob("storage/*") if path.is_file()]
        assert sum(path.stat().st_size for path in spilled) > size
        sums = client.map(lambda part: (len(part), part[0]), futures, workers=[only])
        assert cluster.results(client, sums, "sums", Console(file=io.StringIO())) == [(size, i) for i in range(results)]
        assert client.scheduler_info()["workers"][only]["metrics"]["memory"] < limit


def write_and_count(number: int, folder: str) -> int:
    """What a task of this stage does: writes its own file and returns how many rows it has."""
    path = Path(folder) / f"part-{number:02d}"
    with (Path(folder) / "attempts").open("a") as attempts:
        attempts.write(f"{number} {os.getpid()}\n")
    time.sleep(0.15)
    path.write_text("row\n" * (number + 1))
    return number + 1


def test_a_worker_killed_in_mid_run_costs_time_and_not_a_row(tmp_path: Path) -> None:
    """SIGKILL, as the kernel does it when memory runs out: every result once, every file whole, two workers again."""
    tasks = 30
    with cluster.connect("", cluster.ROWS_FOR_PROCESSES, str(tmp_path / "data")) as client:
        if len(client.scheduler_info()["workers"]) < 2:
            client.cluster.scale(2)
            client.wait_for_workers(2, timeout=60)
        workers = client.run(os.getpid)
        assert len({*workers.values()}) == len(workers) >= 2
        victim = [*workers.values()][0]
        files = tmp_path / "files"
        files.mkdir()

        def kill_in_mid_run() -> None:
            while len([*files.glob("part-*")]) < tasks // 4:
                time.sleep(0.02)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill_in_mid_run)
        killer.start()
        futures = client.map(write_and_count, range(tasks), folder=str(files), pure=False)
        counts = cluster.results(client, futures, "parts", Console(file=io.StringIO()))
        killer.join()
        assert counts == [*range(1, tasks + 1)]
        assert [len(path.read_text().splitlines()) for path in sorted(files.glob("part-*"))] == counts
        attempts = [line.split() for line in (files / "attempts").read_text().splitlines()]
        assert str(victim) in {pid for _, pid in attempts} and {int(number) for number, _ in attempts} == {
            *range(tasks)
        }
        client.wait_for_workers(len(workers), timeout=60)
        assert victim not in client.run(os.getpid).values()


def test_a_task_that_kills_every_worker_is_named_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cluster.SETTINGS, "distributed.scheduler.allowed-failures", 1)
    with cluster.connect("", cluster.ROWS_FOR_PROCESSES) as client:
        futures = client.map(lambda number: number or os.kill(os.getpid(), signal.SIGKILL), range(8), pure=False)
        with pytest.raises(StackError, match="huge: 2 workers died of the same task, most likely for want of memory"):
            cluster.results(client, futures, "huge", Console(file=io.StringIO()))


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
