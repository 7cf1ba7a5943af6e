"""What tuning found: the best configuration, a table for people, and two charts."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from contracts.errors import ArtifactError
from train import tuned_config

log = logging.getLogger(__name__)

#: Trials that the table shows.
_SHOWN = 10
#: Trials without which nothing can be said of the importance of a setting.
_FEW = 8


def write(study: optuna.Study, source: Path, stage: str, folder: str) -> dict[str, Any]:
    """Write ``best.toml`` and the charts, print the table; the key figures.

    Raises:
        ArtifactError: when no trial finished.
    """
    trials = study.get_trials(deepcopy=False)
    complete = sorted((each for each in trials if each.state is TrialState.COMPLETE), key=lambda each: -_value(each))
    if not complete:
        raise ArtifactError(f"{folder}: no trial finished; its logs/ say why")
    best, first = complete[0], next((each for each in complete if each.number == 0), None)
    start = f"; as configured {_value(first):.5f}" if first else ""
    pruned = sum(each.state is TrialState.PRUNED for each in trials)
    target = Path(folder, "best.toml")
    heading = (
        f"Tuned: the {stage}'s best of {len(complete) + pruned} trials is number {best.number}, with NDCG@10 "
        f"{_value(best):.5f}\non validation rows{start}."
    )
    tuned_config.write(source, target, best.user_attrs["settings"], heading)
    _show(complete, len(trials), pruned, stage)
    history(trials, stage).savefig(f"{folder}/history.png", dpi=120)
    if len(complete) >= _FEW:
        importances(study, stage).savefig(f"{folder}/importances.png", dpi=120)
    return {
        "stage": stage,
        "finished": len(complete) + pruned,
        "pruned": pruned,
        "failed": sum(each.state is TrialState.FAIL for each in trials),
        "best_trial": best.number,
        "settings": best.user_attrs["settings"],
        "validation_ndcg_at_10": _value(best),
        "validation_ndcg_at_10_as_configured": _value(first) if first else None,
        "config": str(target),
    }


def history(trials: list[FrozenTrial], stage: str) -> Figure:
    """Every trial's figure, and the best so far."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    complete = [each for each in trials if each.state is TrialState.COMPLETE]
    pruned = [each for each in trials if each.state is TrialState.PRUNED and each.intermediate_values]
    numbers, values = [each.number for each in complete], [_value(each) for each in complete]
    axes.scatter(numbers, values, color="#4c78a8", label="finished")
    last = [each.intermediate_values[max(each.intermediate_values)] for each in pruned]
    axes.scatter([each.number for each in pruned], last, color="#bab0ac", marker="x", label="ended early")
    axes.step(numbers, np.maximum.accumulate(values), where="post", color="#e45756", label="best so far")
    axes.set(xlabel="trial", ylabel="NDCG@10, validation", title=f"tuning the {stage}")
    axes.legend()
    return figure


def importances(study: optuna.Study, stage: str) -> Figure:
    """How much each setting decides whether a trial is among the best (PED-ANOVA, Watanabe et al., 2023)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = optuna.importance.get_param_importances(study)
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(found)[::-1], list(found.values())[::-1], color="#4c78a8")
    axes.set(xlabel="importance (PED-ANOVA)", title=f"what decides, tuning the {stage}")
    return figure


def _show(complete: list[FrozenTrial], number: int, pruned: int, stage: str) -> None:
    table = Table(title=f"{stage}: {number} trials, {pruned} ended early; the best {min(_SHOWN, len(complete))}")
    for name in ("trial", "NDCG@10", "epochs", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("settings")
    for each in complete[:_SHOWN]:
        figures, settings = each.user_attrs["figures"], each.user_attrs["settings"]
        cells = [each.number, f"{_value(each):.4f}", figures["epochs"], figures["seconds"]]
        table.add_row(*map(str, cells), "  ".join(f"{name}={value}" for name, value in settings.items()))
    Console(stderr=True).print(table)


def _value(trial: FrozenTrial) -> float:
    return trial.value if trial.value is not None else float("-inf")
