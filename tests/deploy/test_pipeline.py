"""The pipeline runs its stages in order and stops at the first that fails, with that stage's own words."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import StackError
from deploy import pipeline
from deploy.pipeline import STAGES, UPDATE, Stage
from deploy.site import Site, open_site

_FAKE = """
import json, os, sys
print("progress of " + sys.argv[1], file=sys.stderr)
print("noise")
with open(os.environ["TRIREME_ROOT"] + "/order", "a") as file:
    file.write(sys.argv[1] + " ")
if sys.argv[1] == "broken":
    sys.exit("the reason")
print(json.dumps({"said": sys.argv[1], "base": os.environ["TRIREME_PORT_BASE"]}))
"""


@pytest.fixture
def site(tmp_path, monkeypatch) -> Site:
    monkeypatch.setenv("TRIREME_ROOT", str(tmp_path))
    monkeypatch.setenv("TRIREME_PORT_BASE", "23000")
    return open_site("configs/smoke.toml")


@pytest.fixture
def stage(tmp_path, monkeypatch):
    package = tmp_path / "fake_stage"
    package.mkdir()
    (package / "__main__.py").write_text(_FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name: Stage(name, name, Path(sys.executable), ("fake_stage", name))


def _run(site: Site, *stages: Stage) -> tuple[dict, str]:
    output = io.StringIO()
    figures = pipeline.run(site, Console(file=output, width=100), stages)
    return figures, output.getvalue()


def test_stages_run_in_order_with_our_settings_and_their_last_lines_are_collected(site, stage, tmp_path):
    figures, shown = _run(site, stage("one"), stage("two"))
    assert (tmp_path / "order").read_text().split() == ["one", "two"]
    assert [figures[name]["said"] for name in figures] == ["one", "two"]
    assert figures["one"]["base"] == "23000"
    assert figures["one"]["seconds"] >= 0
    assert shown.index("progress of one") < shown.index("progress of two")


def test_a_stage_that_fails_stops_the_pipeline_with_its_message(site, stage, tmp_path):
    with pytest.raises(StackError) as caught:
        _run(site, stage("one"), stage("broken"), stage("three"))
    assert (tmp_path / "order").read_text().split() == ["one", "broken"]
    assert "broken failed with exit code 1" in str(caught.value)
    assert "the reason" in str(caught.value)
    assert str(site.logs / "broken.log") in str(caught.value)


def test_a_stage_that_says_no_json_is_refused(site, tmp_path):
    silent = Stage("silent", "silent", Path(sys.executable), ("platform", "terse"))
    with pytest.raises(StackError, match="silent: expected a JSON object as the last line"):
        _run(site, silent)


def test_a_missing_environment_is_said_with_the_way_to_make_it(site, tmp_path):
    missing = Stage("etl", "etl", tmp_path / "nowhere" / "python", ("etl", "run"))
    with pytest.raises(StackError, match="run: make setup"):
        _run(site, missing)


def test_the_stages_are_those_of_the_design_in_their_order():
    names = [stage.name for stage in STAGES]
    assert names == [
        "etl", "retrieval-fit", "candidates", "ranker", "retrieval-refit", "export", "answer", "evaluate", "promote",
    ]  # fmt: skip
    update = [stage.name for stage in UPDATE]
    assert update == ["etl", "update", "export", "answer", "evaluate", "promote"]
    island = {stage.command[0] for stage in STAGES if stage.python == pipeline.TRAIN_PYTHON}
    assert island == {"etl", "train"}
