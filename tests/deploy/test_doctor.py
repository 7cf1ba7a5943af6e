"""The doctor names what lacks, with the line that mends it."""

from __future__ import annotations

import socket
import subprocess
import sys

from deploy import doctor


def test_a_machine_that_runs_these_tests_lacks_nothing_but_perhaps_room(tmp_path):
    findings = doctor.examine(tmp_path / "not" / "there", {"public": 1})
    lacking = {finding.what for finding in findings if not finding.ok}
    assert {what for what in lacking if not what.endswith(("memory", "/dev/shm")) and "disk" not in what} == set()


def test_every_check_has_a_line_that_mends_it(tmp_path):
    for finding in doctor.examine(tmp_path, {"public": 1}):
        assert finding.mend, finding.what


def test_a_missing_tool_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.what: finding for finding in doctor.examine(tmp_path, {"public": 1})}
    assert not findings["make"].ok
    assert findings["make"].mend == "apt-get install make"


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        (finding,) = (f for f in doctor.examine(tmp_path, {"redis": port}) if f.what.startswith("ports"))
    assert not finding.ok
    assert f"{port} (redis)" in finding.found


def test_in_a_fresh_clone_what_make_installs_by_itself_is_no_fault_and_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "REPOSITORY", tmp_path)
    findings = {finding.what: finding for finding in doctor.examine(tmp_path, {"public": 1})}
    for name in (".venv-train", ".venv"):
        finding = findings[f"environment {name}"]
        assert (finding.ok, finding.found) == (True, "not yet: make run makes it")


def test_it_runs_before_anything_is_installed():
    # -S: without site-packages, as on a fresh machine.
    argv = [sys.executable, "-S", "-m", "deploy", "doctor"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "Python 3.11" in done.stdout
    assert "Traceback" not in done.stderr
