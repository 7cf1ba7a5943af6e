"""Tuning as a user runs it: the command, its workers, and what is left when it is killed."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import made_shop
import optuna
import pytest

from contracts import config as settings
from contracts.errors import ArtifactError
from train import search_space, tuning

TRIALS = 2


#: A trial takes a second or two.
QUICK = {"retrieval_epochs": 2, "retrieval_max_pairs": 500}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop of its own and a file that says so."""
    folder = tmp_path_factory.mktemp("tuned")
    made = made_shop.make(folder)
    (folder / "shop.toml").write_text(toml(made_shop.SETTINGS | {"train": made_shop.SETTINGS["train"] | QUICK}))
    return folder, made.zones


def toml(table, name=""):
    """A mapping of mappings as TOML."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    below = [toml(value, f"{name}.{key}".lstrip(".")) for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([*([f"[{name}]"] if name else []), *plain, "", *below])


NO_STORE = {"MLFLOW_TRACKING_URI": "nonsense://nowhere"}


def command(folder):
    words = ["-m", "train", "tune", str(folder / "shop.toml"), "--stage", "retrieval", "--trials", str(TRIALS)]
    return subprocess.Popen(
        [sys.executable, *words, "--workers", "1"],
        env=os.environ | {"TRIREME_ROOT": str(folder)} | NO_STORE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def at_once(_many):
    """Workers' place taken by this process, which has TensorFlow already."""

    class Here:
        def submit(self, task, *arguments, pure):
            done = Future()
            done.set_result(task(*arguments))
            return done

    yield Here()


def finished(folder):
    """Number -> value of the trials that finished."""
    if not Path(folder, "journal.log").exists() or not (journal := tuning.storage(folder)).get_all_studies():
        return {}
    study = optuna.load_study(study_name="retrieval", storage=journal)
    return {each.number: each.value for each in study.trials if each.state in tuning.FINISHED}


@pytest.mark.timeout(600)
def test_a_killed_tuning_goes_on_where_it_was_and_repeats_nothing_that_finished(shop, monkeypatch):
    folder, zones = shop
    home = f"{zones.tuning}/retrieval"
    first = command(folder)
    deadline = time.monotonic() + 250
    while not (before := finished(home)) and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.5)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert 1 <= len(before) < TRIALS

    config = settings.load(folder / "shop.toml")
    with pytest.raises(ArtifactError, match="--resume goes on"):
        tuning.run(config, folder / "shop.toml", zones, "retrieval", TRIALS, 1, resume=False)
    other = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=1))
    with pytest.raises(ArtifactError, match="is of other settings"):
        tuning.run(other, folder / "shop.toml", zones, "retrieval", TRIALS, 1, resume=True)

    monkeypatch.setattr(tuning.workers, "connect", at_once)
    monkeypatch.setattr(tuning, "as_completed", list)
    for name, value in NO_STORE.items():
        monkeypatch.setenv(name, value)
    figures = tuning.run(config, folder / "shop.toml", zones, "retrieval", TRIALS, 1, resume=True)
    after = finished(home)
    assert figures["finished"] == len(after) == TRIALS
    assert {number: after[number] for number in before} == before

    # What was configured was the first trial, and the best is a configuration that says what was tried.
    study = optuna.load_study(study_name="retrieval", storage=tuning.storage(home))
    assert study.trials[0].user_attrs["settings"]["temperature"] == 0.1
    best = settings.load(f"{home}/best.toml").train
    assert figures["validation_ndcg_at_10"] == max(value for value in after.values() if value is not None)
    assert {name: getattr(best, name) for name in figures["settings"]} == figures["settings"]
    assert f"{figures['validation_ndcg_at_10']:.5f}" in Path(home, "best.toml").read_text().splitlines()[0]
    assert Path(home, "history.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("stage", search_space.SPACES)
def test_the_space_holds_settings_that_there_are_and_values_that_a_configuration_takes(stage):
    """The ends of every range and every choice."""
    for name, each in search_space.SPACES[stage].items():
        ends = each.values if isinstance(each, search_space.Choice) else (each.low, each.high)
        for value in ends:
            raw = made_shop.SETTINGS | {"train": {name: value}}
            assert getattr(settings.parse(raw, "test").train, name) == value


@pytest.mark.parametrize("stage", search_space.SPACES)
def test_the_search_starts_from_what_is_configured(stage):
    held = settings.parse(made_shop.SETTINGS, "test").train
    start = search_space.configured(stage, held)
    assert all(getattr(held, name) == value for name, value in start.items())


def test_a_setting_outside_its_range_is_left_to_the_search():
    held = settings.parse(made_shop.SETTINGS | {"train": {"temperature": 7.0}}, "test").train
    assert "temperature" not in search_space.configured("retrieval", held)
