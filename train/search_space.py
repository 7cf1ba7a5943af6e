"""What tuning may turn: for each stage, settings of ``[train]`` and the range or the choices of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from contracts.config_checks import WORDS

if TYPE_CHECKING:
    import optuna


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; with ``log``, each doubling is as likely as any other."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """A trial's value."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def __contains__(self, value: Any) -> bool:
        return self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A trial's value."""
        return trial.suggest_categorical(name, self.values)

    def __contains__(self, value: Any) -> bool:
        return value in self.values


SPACES: Mapping[str, Mapping[str, Range | Choice]] = {
    "retrieval": {
        "query_encoder": Choice(WORDS["query_encoder"]),
        "temperature": Range(0.03, 0.5, log=True),
        "learning_rate": Range(0.0003, 0.02, log=True),
        "embedding_dim": Choice((16, 32, 64, 128)),
        "id_dropout": Range(0.0, 0.9),
        "item_id_dropout": Range(0.0, 0.5),
        "sampled_negatives": Choice((0, 256, 1024, 4096)),
        "sampled_power": Range(0.0, 1.0),
        # Hours for news, half a year for groceries.
        "recent_half_life_hours": Range(1.0, 4320.0, log=True),
        # The other items of a batch are its negatives.
        "retrieval_batch": Choice((128, 256, 512, 1024, 2048, 4096)),
    },
    "ranker": {
        # Trees have none of the other settings.
        "ranker": Choice(tuple(kind for kind in WORDS["ranker"] if kind != "trees")),
        "ranker_loss": Choice(WORDS["ranker_loss"]),
        "ranker_width": Choice((16, 32, 64, 128, 256)),
        "ranker_l2": Range(0.00001, 0.03, log=True),
        "ranker_learning_rate": Range(0.0003, 0.02, log=True),
        "ranker_batch": Choice((256, 512, 1024, 2048, 4096)),
    },
}


def suggested(stage: str, trial: optuna.Trial) -> dict[str, Any]:
    """The settings of a trial, rounded to four significant digits, so that a file says exactly what was tried."""
    values = {name: each.suggest(trial, name) for name, each in SPACES[stage].items()}
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in values.items()}


def configured(stage: str, settings: Any) -> dict[str, Any]:
    """What is configured, of the settings whose value lies within the space: where the search starts."""
    values = {name: getattr(settings, name) for name in SPACES[stage]}
    return {name: value for name, value in values.items() if value in SPACES[stage][name]}
