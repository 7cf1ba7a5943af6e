"""Supervised processes: started, restarted, stopped in order, and nobody else's touched."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from contracts.errors import StackError
from deploy.supervisor import Program, Supervisor

pytestmark = pytest.mark.integration

_SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
_LAST_WORDS = """
import pathlib, signal, sys, time
def stop(*_):
    with pathlib.Path(sys.argv[1]).open("a") as file:
        file.write(sys.argv[2] + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1] + "." + sys.argv[2]).touch()
time.sleep(600)
"""


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path / "stack")
    yield made
    made.shutdown()


def _wait(condition, what: str) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def _start(supervisor: Supervisor, *programs: Program) -> dict[str, int]:
    supervisor.write(programs)
    supervisor.start()
    for program in programs:
        assert supervisor.start_program(program.name)
    return {name: info["pid"] for name, info in supervisor.processes().items()}


def test_the_socket_is_for_this_user_only(supervisor):
    _start(supervisor)
    assert stat.S_IMODE(supervisor.socket.stat().st_mode) == 0o600


def test_shutdown_ends_every_program_and_its_children_and_nobody_elses(supervisor):
    with_child = (sys.executable, "-c", "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])")
    pids = _start(supervisor, Program("one", _SLEEP, {}), Program("two", with_child, {}))
    stranger = subprocess.Popen(_SLEEP)
    try:
        processes = [psutil.Process(pid) for pid in (supervisor.pid(), *pids.values())]
        supervisor.shutdown()
        assert [process for process in processes if process.is_running()] == []
        assert stranger.poll() is None
        assert not supervisor.is_running()
        assert not supervisor.socket.exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_programs_are_stopped_in_the_reverse_of_their_order(supervisor, tmp_path):
    words = tmp_path / "words"
    script = tmp_path / "script.py"
    script.write_text(_LAST_WORDS)
    names = ("first", "second", "third")
    _start(supervisor, *(Program(n, (sys.executable, str(script), str(words), n), {}) for n in names))
    _wait(lambda: all(Path(f"{words}.{name}").exists() for name in names), "the programs did not start")
    supervisor.shutdown()
    assert words.read_text().split() == ["third", "second", "first"]


def test_a_program_that_dies_is_started_again(supervisor):
    pid = _start(supervisor, Program("one", _SLEEP, {}))["one"]
    _wait(lambda: supervisor.processes()["one"]["statename"] == "RUNNING", "the program did not start")
    os.kill(pid, signal.SIGKILL)
    _wait(lambda: supervisor.processes()["one"]["pid"] not in (0, pid), "the program was not started again")


def test_reload_restarts_only_what_changed(supervisor):
    before = _start(supervisor, Program("same", _SLEEP, {"A": "1"}), Program("new", _SLEEP, {"A": "1"}))
    supervisor.write([Program("same", _SLEEP, {"A": "1"}), Program("new", _SLEEP, {"A": "2"})])
    assert supervisor.reload() == ["new"]
    assert supervisor.start_program("new")
    assert not supervisor.start_program("same")
    after = {name: info["pid"] for name, info in supervisor.processes().items()}
    assert after["same"] == before["same"]
    assert after["new"] != before["new"]


def test_values_with_percent_signs_quotes_and_spaces_arrive_as_they_are(supervisor, tmp_path):
    out = tmp_path / "100% of it"
    code = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(os.environ['ODD'])"
    _start(supervisor, Program("one", (sys.executable, "-c", code, str(out)), {"ODD": "50%, a b;c=d"}))
    _wait(out.exists, "the program did not write")
    _wait(lambda: out.read_text() == "50%, a b;c=d", f"got {out.read_text()!r}")


def test_a_path_too_long_for_a_socket_is_said_before_anything_starts(tmp_path):
    with pytest.raises(StackError, match="choose a shorter TRIREME_ROOT"):
        Supervisor(tmp_path / ("x" * 100)).write([])


def test_a_socket_left_behind_by_a_crash_counts_as_not_running(tmp_path):
    supervisor = Supervisor(tmp_path / "stack")
    supervisor.folder.mkdir()
    supervisor.socket.touch()
    assert not supervisor.is_running()
    supervisor.shutdown()


def test_a_program_that_is_stopped_stays_so_though_it_has_just_died(supervisor):
    pid = _start(supervisor, Program("one", _SLEEP, {}))["one"]
    os.kill(pid, signal.SIGKILL)
    supervisor.stop_program("one")
    time.sleep(1.5)  # supervisord starts again what has died within a second
    assert supervisor.processes()["one"]["statename"] == "STOPPED"
    assert supervisor.start_program("one")


def test_the_tokens_of_the_door_are_not_handed_on(supervisor, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIREME_TOKENS", "x" * 32)
    monkeypatch.setenv("SOMETHING_ELSE", "passes")
    out = tmp_path / "environment"
    code = "import os, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(' '.join(os.environ))"
    _start(supervisor, Program("one", (sys.executable, "-c", code, str(out)), {}))
    _wait(lambda: out.exists() and out.read_text(), "the program did not write")
    assert "SOMETHING_ELSE" in out.read_text().split()
    assert "TRIREME_TOKENS" not in out.read_text().split()
