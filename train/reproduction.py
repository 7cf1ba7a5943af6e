"""A recorded training once more, from its record alone: same settings, same seed, and so the same figures.

The models are made in a folder of their own; what serves is not touched.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts import config as settings
from contracts.artifacts import Zones, code_version, zones
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.stack import stack_settings
from train import tracking, trial

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

#: Ends of the names of metrics that tell of the machine and not of the model.
_OF_THE_MACHINE = ("seconds", "per_second", "_ms")
#: Kinds of runs that are no training from the data alone -> what to do instead.
_OTHERS = {
    "tuning": "reproduce one of the trials below it",
    "bakeoff": "reproduce one of the entries below it",
    "update": "it went on from a model that has been replaced since; reproduce the refit",
}
#: Figures are the same up to the order in which a sum of float32 was taken by another number of threads.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run says of itself.

    Attributes:
        config: its settings.
        stage: ``retrieval`` or ``ranker``; ``kind`` of it.
        code: the version of the code; ``commit`` of git, or "".
        data: zone -> fingerprint.
        figures: metric -> its last value.
    """

    config: Config
    stage: str
    kind: str
    code: str
    commit: str
    data: Mapping[str, str]
    figures: Mapping[str, float]


def run(run_id: str) -> dict[str, Any]:
    """Train again what a run trained, and compare.

    Returns:
        ``run``, ``same`` (how many figures are), ``differs`` (what is not as it was: ``code``, ``data.<zone>``).

    Raises:
        ArtifactError: when there is no such run, it is of no training, or a figure came out otherwise.
    """
    record = read(run_id)
    held = zones(stack_settings().root, record.config)
    differs = differences(record, held)
    for name, was in differs.items():
        log.warning("not as it was: %s (recorded: %s)", name, was)
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        again = train(record, trial.Scratch(held.root, folder))
    other = compare(record.figures, again)
    if other:
        lines = "; ".join(f"{name} was {was}, is {now}" for name, (was, now) in sorted(other.items()))
        why = f"not as they were: {', '.join(differs)}" if differs else "data and code are the same"
        raise ArtifactError(f"run {run_id} is not reproduced: {lines}; {why}")
    return {"run": run_id, "same": len(again), "differs": sorted(differs)}


def read(run_id: str) -> Record:
    """The record of a run, from whichever store of this root or environment has it.

    Raises:
        ArtifactError: when none has it, or it is not a run of a training.
    """
    client, found = _find(run_id)
    tags = found.data.tags
    stage = tags.get(tracking.STAGE, "")
    if stage not in ("retrieval", "ranker"):
        raise ArtifactError(f"run {run_id} is of {stage or 'something else'}: only trainings can be reproduced")
    if why := _OTHERS.get(tags[tracking.KIND]):
        raise ArtifactError(f"run {run_id} is of {stage}, {tags[tracking.KIND]}: {why}")
    with tempfile.TemporaryDirectory() as folder:
        whole = json.loads(Path(client.download_artifacts(run_id, tracking.CONFIG, folder)).read_text())
    return Record(
        settings.parse(whole, f"run {run_id}"),
        stage,
        tags[tracking.KIND],
        tags[tracking.CODE],
        tags.get(tracking.COMMIT, ""),
        {each.dataset.name: each.dataset.digest for each in found.inputs.dataset_inputs},
        found.data.metrics,
    )


def _find(run_id: str) -> tuple[MlflowClient, Run]:
    environment = stack_settings()
    files = sorted(Path(environment.root).glob("*/mlflow/mlflow.db"))
    urls = [environment.mlflow] if environment.mlflow else [f"sqlite:///{file.absolute()}" for file in files]
    for url in urls:
        client = tracking.connect(url)
        from mlflow.exceptions import MlflowException

        try:
            return client, client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise ArtifactError(f"MLflow at {url}: {error.message}") from None
    raise ArtifactError(
        f"no run {run_id} in {', '.join(urls) or f'{environment.root}/*/mlflow'}; "
        "TRIREME_ROOT or MLFLOW_TRACKING_URI names another store"
    )


def differences(record: Record, held: Zones) -> dict[str, str]:
    """What is not as it was when the run was made -> what it was."""
    now = tracking.fingerprints(held, record.stage)
    found = {f"data.{name}": mark for name, mark in record.data.items() if now.get(name) != mark}
    if record.code != code_version("contracts", "train"):
        found["code"] = f"{record.code}, commit {record.commit or 'unknown'}"
    return found


def train(record: Record, held: Zones) -> dict[str, float]:
    """The figures of the same training in a folder of its own."""
    if record.kind == "trial":
        return tracking.numbers(trial.run(record.config, held, record.stage))
    if record.stage == "ranker":
        from train import ranker

        return tracking.numbers(ranker.run(record.config, held))
    from train import retrieval

    if record.kind == "refit":  # which repeats the epochs of fit
        retrieval.run(record.config, held, "fit")
    return tracking.numbers(retrieval.run(record.config, held, record.kind))


def compare(was: Mapping[str, float], now: Mapping[str, float]) -> dict[str, tuple[float | None, float]]:
    """Figures of the model that came out otherwise -> what they were (None: not recorded) and are."""
    return {
        name: (was.get(name), value)
        for name, value in now.items()
        if not name.endswith(_OF_THE_MACHINE)
        if name not in was or not math.isclose(was[name], value, rel_tol=_TOLERANCE, abs_tol=1e-6)
    }
