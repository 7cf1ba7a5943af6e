"""Search for better settings: trials on Dask workers, the hopeless ones ended early, and nothing lost by a kill.

Every trial writes what it knows into a journal of Optuna's as it happens (JSON lines), so that a command that is killed
goes on where it was: trials that finished are not repeated, those that were under way are.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from distributed import as_completed
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contracts.artifacts import Zones, code_version, fingerprint
from contracts.config import Config
from contracts.errors import ArtifactError
from train import search_space, tracking, trial, tuning_report, workers

log = logging.getLogger(__name__)

#: Trials before the first may be pruned, and epochs of each that are waited for.
_STARTUP, _WARMUP = 5, 1
#: States of a trial that need not be repeated.
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
#: Attributes of a trial: the settings that it tried, and figures beside its value.
SETTINGS, FIGURES = "settings", "figures"


def run(config: Config, source: Path, zones: Zones, stage: str, number: int, many: int, resume: bool) -> dict[str, Any]:
    """Try settings until ``number`` trials have finished; the best as a configuration beside the journal.

    Args:
        config: where the search starts.
        source: its file, which the best configuration repeats.
        zones: where the data lies, in a local folder.
        stage: a key of ``search_space.SPACES``.
        number: trials in all, those of earlier commands included.
        many: workers to start.
        resume: go on with the trials that there are.

    Raises:
        ArtifactError: when there are trials already and ``resume`` does not say so, or they are of other data.
    """
    if "://" in zones.root:
        raise ArtifactError(f"{zones.tuning}: trials are kept in a local folder; TRIREME_ROOT names another")
    folder = f"{zones.tuning}/{stage}"
    with _alone(folder):
        study = _study(config, zones, stage, folder, resume)
        with tracking.recorded(config, zones, stage, "tuning") as record:
            left = number - len(study.get_trials(deepcopy=False, states=FINISHED))
            if left > 0:
                with workers.connect(min(many, left)) as client:
                    seeds = range(config.train.seed + number - left, config.train.seed + number)
                    tried = [
                        client.submit(attempt, config, zones, stage, record.id, seed, pure=False) for seed in seeds
                    ]
                    for future in _watched(as_completed(tried), stage, number, number - left, study):
                        future.result()
            figures = tuning_report.write(study, source, stage, folder)
            record.figures(figures)
            record.files(folder)
    return figures


def attempt(config: Config, zones: Zones, stage: str, parent: str, seed: int) -> int:
    """One trial, in a worker; its number.

    Args:
        config: where the search started.
        zones: where the data lies.
        stage: what is tuned.
        parent: the run of MLflow that the trial's is a part of.
        seed: of what is suggested.
    """
    folder = f"{zones.tuning}/{stage}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(
        study_name=stage,
        storage=storage(folder),
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=_WARMUP),
    )
    asked = study.ask()
    with workers.written_to(f"{folder}/logs/trial-{asked.number}.log"):
        settings = search_space.suggested(stage, asked)
        asked.set_user_attr(SETTINGS, settings)
        tried = trial.with_settings(config, settings)
        with tracking.recorded(tried, zones, stage, "trial", parent) as record:
            try:
                figures = trial.run(tried, zones, stage, _reporting(asked, record))
            except optuna.TrialPruned:
                study.tell(asked, state=TrialState.PRUNED)
            else:
                record.figures(figures)
                asked.set_user_attr(FIGURES, figures)
                study.tell(asked, figures[trial.FIGURE])
    return asked.number


def _reporting(asked: optuna.Trial, record: tracking.Run) -> Any:
    def on_epoch(number: int, figure: float) -> None:
        record.epoch(number, figure)
        asked.report(figure, number)
        if asked.should_prune():
            raise optuna.TrialPruned

    return on_epoch


def storage(folder: str) -> JournalStorage:
    """The journal of a tuned stage."""
    return JournalStorage(JournalFileBackend(f"{folder}/journal.log"))


def _study(config: Config, zones: Zones, stage: str, folder: str, resume: bool) -> optuna.Study:
    """The study of a stage; a new one starts from what is configured, an old one takes up what was under way."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    there = Path(folder, "journal.log").exists()
    if there and not resume:
        raise ArtifactError(f"{folder} has trials already: --resume goes on with them; delete the folder to begin anew")
    study = optuna.create_study(study_name=stage, storage=storage(folder), direction="maximize", load_if_exists=True)
    made = {"settings": fingerprint(config.features, config.train, config.serve)}
    made |= tracking.fingerprints(zones, stage)
    code = code_version("contracts", "train")
    if "made_from" not in study.user_attrs:
        study.set_user_attr("made_from", made)
        study.set_user_attr("code", code)
        study.enqueue_trial(search_space.configured(stage, config.train))
        return study
    other = [name for name, mark in study.user_attrs["made_from"].items() if made.get(name) != mark]
    if other:
        raise ArtifactError(
            f"{folder} is of other {' and '.join(other)}, and trials of both would not compare; "
            "delete the folder to begin anew"
        )
    if study.user_attrs["code"] != code:
        log.warning("%s: the code has changed since the first trial", folder)
    for lost in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(lost.number, state=TrialState.FAIL)
        study.enqueue_trial(lost.params)
        log.info("trial %d was under way when the command ended; it is tried again", lost.number)
    return study


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Of two commands on a journal each would take the other's trials for lost. The lock goes with its process."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with open(f"{folder}/lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ArtifactError(f"{folder}: another command tunes here; wait for it, or end it") from None
        yield


def _watched(futures: Any, stage: str, number: int, done: int, study: optuna.Study) -> Iterator[Any]:
    """The futures as they finish, under a bar with the best so far."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[best]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"tuning the {stage}", total=number, completed=done, best="")
        for future in futures:
            yield future
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            best = f"best {max(each.value or 0.0 for each in complete):.4f}" if complete else ""
            bar.update(task, advance=1, best=best)
