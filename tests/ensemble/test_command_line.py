"""``python -m ensemble``: figures on the last line, errors without a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.artifacts import Zones
from ensemble.__main__ import main
from ensemble.steps.release import Release


def test_golden_requests_can_be_replayed_from_the_command_line(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["golden", str(release.root)]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["release"] == release.id
    assert figures["replayed"] >= 32


def test_committed_configurations_are_checked_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "--check"]) == 0
    assert json.loads(capsys.readouterr().out)["drifted"] == []


def test_drift_names_the_file_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ensemble.__main__.REPOSITORY", tmp_path)
    assert main(["configs", "--check"]) == 1
    said = capsys.readouterr()
    assert "feature_lookup/config.pbtxt" in said.err
    assert "python -m ensemble configs" in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", ["candidates", "export", "answer", "promote"])
def test_a_stage_without_its_inputs_says_what_is_missing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIREME_ROOT", str(tmp_path))
    assert main([command, "configs/smoke.toml"]) == 1
    said = capsys.readouterr()
    assert "is not there: the stage that writes it has not finished; run it first" in said.err
    assert "Traceback" not in said.err


def test_a_folder_that_is_no_release_is_an_error(place: Zones, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["golden", place.features]) == 1
    assert "expected a release in" in capsys.readouterr().err
