"""Trainings that serve nobody: other settings tried, a record repeated; the models that serve stay as they are."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.errors import ArtifactError

#: The figure that trials are compared by, on rows that were not learned from.
FIGURE = "ndcg_at_10"


@dataclasses.dataclass(frozen=True)
class Scratch(Zones):
    """A data set's zones, but for models, which are made elsewhere."""

    models: str

    @property
    def retrieval(self) -> str:
        """As of ``Zones``, below ``models``."""
        return f"{self.models}/retrieval"

    @property
    def ranker(self) -> str:
        """As of ``Zones``, below ``models``."""
        return f"{self.models}/ranker"


def with_settings(config: Config, values: dict[str, Any]) -> Config:
    """The configuration with other values in ``[train]``."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **values))


def run(
    config: Config, zones: Zones, stage: str, on_epoch: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Train a stage's model for the sake of its validation figure: nothing is exported.

    Args:
        config: with the settings to try.
        zones: where the data lies.
        stage: ``retrieval`` or ``ranker``.
        on_epoch: told of each epoch's validation figure; what it raises ends the training.

    Returns:
        ``losses``, ``epochs``, ``validation`` (of the best epoch) and ``seconds``.

    Raises:
        ArtifactError: when there is nothing to judge by.
    """
    started = time.monotonic()
    fitted = (_retrieval if stage == "retrieval" else _ranker)(config, zones, on_epoch)
    if FIGURE not in fitted.validation:
        raise ArtifactError(f"{zones.features}/rows/window=C has no rows to judge a trial by; move [windows]")
    seconds = round(time.monotonic() - started, 1)
    found = {"losses": fitted.losses, "epochs": fitted.epochs, "validation": fitted.validation, "seconds": seconds}
    return {**found, FIGURE: fitted.validation[FIGURE]}


def _retrieval(config: Config, zones: Zones, on_epoch: Any) -> Any:
    from train import retrieval, tables

    held = tables.catalogue(config, zones)
    return retrieval.fit(config, held, retrieval.learn(config, zones, held, "fit"), on_epoch)


def _ranker(config: Config, zones: Zones, on_epoch: Any) -> Any:
    from train import ranker, ranking_rows

    learned = ranking_rows.load(config, zones, "B")
    return ranker.fit(config, ranker.inputs(config, zones, learned), learned, on_epoch)
