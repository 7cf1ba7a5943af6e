"""What was trained, from what, and how well it came out: a run of MLflow for each training, judgement and trial.

A run holds the configuration (parameters, and ``config.json`` whole), the figures (metrics; training curves by step),
the fingerprints of the data (dataset inputs), the version of the code, and the files that were made. Runs of a data set
lie below its root, in sqlite, or on the server that ``MLFLOW_TRACKING_URI`` names. A store that fails costs the record,
never the training: one warning, and the work goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from contracts.artifacts import MANIFEST, Zones, code_version, exists, read_manifest
from contracts.config import Config
from contracts.stack import stack_settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

log = logging.getLogger(__name__)

#: What a run is of -> the zones that it learns from or judges.
INPUTS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("processed", "features"),
    "ranker": ("features", "candidates"),
    "evaluate": ("features", "answers"),
}
#: Tags of ours: what a run is of (a key of ``INPUTS``), which of its kinds, and the version of the code.
STAGE, KIND, CODE = "trireme.stage", "trireme.kind", "trireme.code_version"
#: MLflow's own tags: git's commit, what was run, and the run that this one is a part of.
COMMIT, _SOURCE, _PARENT = "mlflow.source.git.commit", "mlflow.source.name", "mlflow.parentRunId"
#: The artefact that holds the configuration.
CONFIG = "config.json"
#: Files of a zone that a run keeps; arrays of the catalogue and tables of rows stay where they are.
_KEPT = (".onnx", ".json", ".png", ".html")
#: Unless the environment says otherwise: nothing is sent to MLflow's makers, and a server that is not there is given up
#: after seconds, not minutes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
#: Most characters of a parameter, and most parameters and metrics that MLflow takes in one go.
_LONGEST, _PARAMETERS, _METRICS = 6000, 100, 1000


def store(zones: Zones) -> str:
    """The URL of the store: the environment's, or sqlite below the data set's root; "" where that is no folder."""
    if (url := stack_settings().mlflow) or "://" in zones.root:
        return url
    return f"sqlite:///{Path(zones.tracking).absolute()}/mlflow.db"


def connect(url: str) -> MlflowClient:
    """A client of a store. Its import takes seconds, so that it is done here and not above."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    with _our_log():
        return MlflowClient(url)


@contextlib.contextmanager
def _our_log() -> Iterator[None]:
    """Alembic, which makes the database, sets logging up as if the process were its own: put back what there was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("alembic").setLevel(logging.WARNING)


@contextlib.contextmanager
def recorded(config: Config, zones: Zones, stage: str, kind: str = "", parent: str = "") -> Iterator[Run]:
    """A run from begin to end; what ends the block by force is its reason.

    Args:
        config: the data set, whose name is the experiment's.
        zones: where it lies.
        stage: a key of ``INPUTS``.
        kind: which of the stage's kinds, such as ``fit`` or ``refit``.
        parent: the run that this one is a part of.
    """
    run = Run(store(zones))
    run.begin(config.name, zones, f"{stage} {kind}".strip(), _tags(stage, kind, parent))
    run.settings(config)
    run.inputs(fingerprints(zones, stage), zones)
    try:
        yield run
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED", f"{type(error).__name__}: {error}")
        raise
    run.end("FINISHED")


def fingerprints(zones: Zones, stage: str) -> dict[str, str]:
    """Zone -> fingerprint of its contents, of those that a stage reads and that are there."""
    held = {name: getattr(zones, name) for name in INPUTS[stage]}
    return {name: read_manifest(zone)["fingerprint"] for name, zone in held.items() if exists(f"{zone}/{MANIFEST}")}


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All values of nested mappings, named ``a.b.c``.

    Example:
        >>> list(leaves({"a": {"b": 1}, "c": [2, 3]}))
        [('a.b', 1), ('c', [2, 3])]
    """
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, tree


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among nested figures, by names that MLflow takes for metrics."""
    held = {name: value for name, value in leaves(figures) if isinstance(value, (int, float))}
    return {re.sub(r"[^\w\-./ ]", "_", name): float(value) for name, value in held.items()}


class Run:
    """A run under way. Whatever has become of the store, every method may be called.

    Attributes:
        id: MLflow's; empty without a store.
    """

    def __init__(self, url: str):
        self.id = ""
        self._url = url
        self._client: MlflowClient | None = None

    def begin(self, experiment: str, zones: Zones, name: str, tags: Mapping[str, str]) -> None:
        """Open the store and the run."""

        def begin() -> None:
            location = None  # A server knows where artefacts go.
            if self._url.startswith("sqlite:"):
                location = f"{Path(zones.tracking).absolute()}/artifacts"
                Path(location).mkdir(parents=True, exist_ok=True)
            client = connect(self._url)
            known = client.get_experiment_by_name(experiment)
            home = known.experiment_id if known else client.create_experiment(experiment, location)
            self.id = client.create_run(home, tags=dict(tags), run_name=name).info.run_id
            self._client = client

        if self._url:
            self._try(begin)
        else:
            log.warning("not tracked: %s is no folder; MLFLOW_TRACKING_URI names a server", zones.tracking)

    def settings(self, config: Config) -> None:
        """The configuration: flat as parameters, and whole as an artefact."""
        whole = dataclasses.asdict(config)

        def settings(client: MlflowClient) -> None:
            from mlflow.entities import Param

            flat = [Param(name, str(value)[:_LONGEST]) for name, value in leaves(whole)]
            for start in range(0, len(flat), _PARAMETERS):
                client.log_batch(self.id, params=flat[start : start + _PARAMETERS])
            client.log_dict(self.id, whole, CONFIG)

        self._tell(settings)

    def inputs(self, made: Mapping[str, str], zones: Zones) -> None:
        """The zones that are read, by name, with their fingerprints."""

        def inputs(client: MlflowClient) -> None:
            from mlflow.entities import Dataset, DatasetInput

            sources = {name: json.dumps({"uri": getattr(zones, name)}) for name in made}
            held = [Dataset(name, mark, "uri", sources[name]) for name, mark in made.items()]
            client.log_inputs(self.id, datasets=[DatasetInput(dataset, []) for dataset in held])

        self._tell(inputs)

    def figures(self, values: Mapping[str, Any]) -> None:
        """Numbers at any depth, and ``losses`` as the curve ``loss``; what else there is is no figure."""
        self._metrics((name, value, 0) for name, value in numbers(values).items())
        self._metrics(("loss", value, step) for step, value in enumerate(values.get("losses", ())))

    def epoch(self, number: int, figure: float) -> None:
        """The validation figure of an epoch as soon as it is known: the ``on_epoch`` of a ``fit``."""
        self._metrics([("validation_by_epoch", figure, number)])

    def files(self, zone: str) -> None:
        """What a zone holds of models, figures, charts and reports."""
        filesystem, path = fsspec.core.url_to_fs(zone)
        for file in filesystem.ls(path, detail=False) if filesystem.exists(path) else ():
            if str(file).endswith(_KEPT):
                self.file(str(file).rsplit("/", 1)[-1], filesystem.cat_file(file))

    def file(self, name: str, content: bytes) -> None:
        """One artefact."""

        def file(client: MlflowClient) -> None:
            with tempfile.TemporaryDirectory() as folder:
                local = Path(folder, name)
                local.write_bytes(content)
                client.log_artifact(self.id, str(local))

        self._tell(file)

    def end(self, status: str, reason: str = "") -> None:
        """``FINISHED``, ``FAILED`` or ``KILLED``, and why."""
        if reason:
            self._tell(lambda client: client.set_tag(self.id, "trireme.reason", reason[:_LONGEST]))
        self._tell(lambda client: client.set_terminated(self.id, status))

    def _metrics(self, values: Iterable[tuple[str, float, int]]) -> None:
        now, named = int(time.time() * 1000), list(values)

        def metrics(client: MlflowClient) -> None:
            from mlflow.entities import Metric

            held = [Metric(name, value, now, step) for name, value, step in named]
            for start in range(0, len(held), _METRICS):
                client.log_batch(self.id, metrics=held[start : start + _METRICS])

        self._tell(metrics)

    def _tell(self, call: Callable[[MlflowClient], object]) -> None:
        if client := self._client:
            self._try(lambda: call(client))

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        # Whatever a store, its driver or the network raises: a lost record is no reason to lose the training.
        except Exception as error:
            self._client = None
            line = str(error).strip().partition("\n")[0]
            log.warning("not tracked by MLflow at %s: %s: %s", self._url, type(error).__name__, line)


def _tags(stage: str, kind: str, parent: str) -> dict[str, str]:
    tags = {STAGE: stage, KIND: kind, CODE: code_version("contracts", "train"), _SOURCE: f"python -m train {stage}"}
    if parent:
        tags[_PARENT] = parent
    where = Path(__file__).resolve().parent.parent
    command = ("git", "-C", str(where), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    with contextlib.suppress(OSError):  # no git: a release without its history
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if said:
            tags[COMMIT] = said
    return tags
