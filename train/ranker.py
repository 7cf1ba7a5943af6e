"""The ranking half of a release: fitted on window B's candidates, calibrated and weighed on window C."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import fsspec
import merlin.models.tf as mm
import numpy as np
import onnxruntime
import tensorflow as tf

from contracts.artifacts import Zones, drop_manifest, read_json, write_json, write_manifest
from contracts.blending import calibrated, personal_score, retrieval_score
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, RETRIEVAL_SIGNALS, ranker_categorical, ranker_continuous
from train import (
    blend_tuning,
    current,
    evidence_tuning,
    precision,
    ranking_model,
    ranking_rows,
    ranking_trees,
    ranks,
)
from train.blend_tuning import mean_ndcg
from train.calibration import Calibration, calibrate, folds, platt
from train.onnx_export import export
from train.progress import BestEpoch, TrainingBar, together
from train.ranking_model import Inputs
from train.ranking_rows import Candidates
from train.ranking_trees import Trees

log = logging.getLogger(__name__)

#: Share of window B's requests by which each epoch is judged; window C is left to calibration and blend.
_VALIDATION_SHARE = 0.15
#: Candidates that are scored at once, so that memory stays bounded.
_CHUNK = 65_536
#: The blend's order is kept even where window C knows of no hit in it.
_LEAST_SPREAD = 0.01


def run(
    config: Config, zones: Zones, force: bool = False, on_epoch: Callable[[int, float], None] | None = None
) -> dict[str, Any]:
    """Fill ``models/ranker``; the figures of its manifest (``on_epoch``: of ``fit``)."""
    mark = current.ranker_mark(config, zones)
    if not force and (done := current.facts(zones.ranker, mark)):
        return done
    started = time.monotonic()
    learned, held_out = (ranking_rows.load(config, zones, window) for window in "BC")
    fitted = fit(config, inputs(config, zones, learned), learned, on_epoch)
    if not ranks.world().leads:
        return {}
    drop_manifest(zones.ranker)
    onnx, error = ranker_onnx(fitted, learned)
    calibration, weights, figures = tune(config, zones, onnx, held_out)
    filesystem, path = fsspec.core.url_to_fs(f"{zones.ranker}/ranker.onnx")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, onnx)
    write_json(f"{zones.ranker}/blend.json", {"calibration": calibration.knots, **weights})
    write_json(f"{zones.ranker}/calibration.json", calibration.document)
    facts = {
        **figures,
        **weights,
        **{name: calibration.document[name] for name in ("method", "ece", "ece_uncalibrated")},
        "kind": config.train.ranker,
        "candidates": len(learned.label),
        "losses": fitted.losses,
        "epochs": fitted.epochs,
        "validation": fitted.validation,
        "ranks": ranks.world().size,
        "onnx_error": error,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_manifest(zones.ranker, mark, **facts)
    return facts


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained ranker.

    Attributes:
        model: with the weights of its best epoch.
        inputs: its columns.
        losses: the training curve (``TrainingBar.losses``).
        epochs: how many epochs the weights have learned.
        validation: figures of ``judge`` on requests of window B that were not learned from.
    """

    model: mm.Model
    inputs: Inputs
    losses: list[float]
    epochs: int
    validation: dict[str, float]

    def logits(self, asked: Candidates) -> np.ndarray:
        """The interaction's logit of candidates, float32 ``[n]``."""
        return self._predicted(asked, ranking_model.logit)

    def seconds(self, asked: Candidates) -> np.ndarray:
        """The second task's prediction for candidates, float32 ``[n]``, in deviations from the mean hit."""
        return self._predicted(asked, ranking_model.second)

    def _predicted(self, asked: Candidates, output: Callable[[Any], tf.Tensor]) -> np.ndarray:
        parts = np.array_split(np.arange(len(asked.label)), len(asked.label) // _CHUNK + 1)
        return np.concatenate([output(self._outputs(asked.categorical[x], asked.continuous[x])).numpy() for x in parts])

    @functools.cached_property
    def _outputs(self) -> Callable[..., Any]:
        """The model as a graph, traced once for all epochs."""
        return tf.function(
            lambda codes, values: self.model(self.inputs.split(codes, values)), input_signature=self.inputs.signature()
        )


def fit(
    config: Config, columns: Inputs, learned: Candidates, on_epoch: Callable[[int, float], None] | None = None
) -> Fitted | Trees:
    """Train on a window's candidates until an epoch no longer helps on requests that were held out of them.

    Args:
        config: the data set.
        columns: of ``inputs``.
        learned: window B.
        on_epoch: called after each epoch with its number (from 0) and NDCG@10 on the held-out requests; what it raises
            ends the training.
    """
    settings = config.train
    if settings.ranker == "trees":
        return ranking_trees.fit(settings, learned, _VALIDATION_SHARE, on_epoch)
    tf.keras.utils.set_random_seed(settings.seed)
    policy = precision.policy(settings.mixed_precision)
    model = ranking_model.build(settings, columns)
    trained = model if policy == precision.WHOLE else ranking_model.build(settings, columns, policy)
    kept, validation = ranking_rows.divided(learned, _VALIDATION_SHARE, settings.seed)
    batches, number = ranking_rows.batches(kept.share(*ranks.world()), columns, settings, settings.ranker_epochs)
    bar = TrainingBar(settings.ranker, number, settings.ranker_batch, settings.ranker_epochs)
    untold = Fitted(model, columns, [], 0, {})

    def judged() -> dict[str, float]:
        precision.take_over(model, trained)
        return ranks.agreed(judge(untold, validation, bool(settings.second_task)))

    best = BestEpoch(judged, on_epoch)
    optimizer = precision.optimizer(ranks.optimizer(settings.ranker_learning_rate), policy)
    watched = [*ranks.callbacks(settings.ranker_learning_rate, number * settings.ranker_epochs), bar, best]
    losses: Any = ranking_model.losses(settings)
    trained.compile(optimizer=optimizer, loss=losses, metrics=[], steps_per_execution=together(number))
    with bar:
        trained.fit(batches, epochs=settings.ranker_epochs, steps_per_epoch=number, verbose=0, callbacks=watched)  # pyright: ignore[reportArgumentType]
    precision.take_over(model, trained)
    ranks.check_equal(model)
    return Fitted(model, columns, bar.losses, best.epochs, best.figures)


def judge(fitted: Fitted, asked: Candidates, two_tasks: bool) -> dict[str, float]:
    """NDCG@10 of the ranker's own order, and how the second task's prediction correlates with what hits were worth."""
    figures = {"ndcg_at_10": round(mean_ndcg(fitted.logits(asked), asked), 5)}
    known = ~np.isnan(asked.second)
    if two_tasks and known.sum() > 1:
        worth = np.corrcoef(fitted.seconds(asked)[known], asked.second[known])[0, 1]
        figures["second_correlation"] = round(float(worth), 4)
    return figures


def inputs(config: Config, zones: Zones, learned: Candidates) -> Inputs:
    """The ranker's columns, as wide as the vocabularies and standardised by what is learned from."""
    encodings = read_json(f"{zones.features}/encodings.json")
    sizes = {name: FIRST_VALUE + len(encodings[name]) for name in ranker_categorical(config.features)}
    return ranking_rows.columns(learned, sizes, ranker_continuous(config.features))


def ranker_onnx(fitted: Fitted | Trees, learned: Candidates) -> tuple[bytes, float]:
    """The ranker as ONNX, standardisation inside, and its largest relative difference from what was trained."""
    if isinstance(fitted, Trees):
        return fitted.onnx(learned)
    columns = fitted.inputs

    def logit(codes, values):
        return ranking_model.logit(fitted.model(columns.split(columns.known(codes), values)))

    samples = [
        {"categorical": learned.categorical[rows], "continuous": learned.continuous[rows]}
        for rows in (np.arange(size) % len(learned.label) for size in (1, 100, 500))
    ]
    return export(logit, columns.signature(), "logit", samples, relative=True)


def tune(
    config: Config, zones: Zones, onnx: bytes, asked: Candidates
) -> tuple[Calibration, dict[str, Any], dict[str, Any]]:
    """The calibration and the blend's weights by window C's candidates, and NDCG@10 of each order on C."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])

    def scored(some: Candidates) -> np.ndarray:
        return session.run(["logit"], {"categorical": some.categorical, "continuous": some.continuous})[0]

    logits = scored(asked)
    if (slope := platt(logits, asked.label)[0]) <= 0:
        raise ArtifactError(
            f"the ranker's order is worse than chance on window C (Platt slope {slope:.3f}, expected > 0): "
            "windows B and C differ too much, or B holds too few candidates; move [windows]"
        )
    seed = config.train.seed
    found = calibrate(logits, asked.label, asked.request, seed)
    signals = _signals(config, asked)
    probability = calibrated(logits, found.knots)
    chosen = blend_tuning.tune(probability, signals, asked, folds(len(asked.relevant), seed))
    mixed = personal_score(probability, retrieval_score(signals, chosen.signals), chosen.retrieval_weight)
    # The slope that makes the sum the log odds of what was taken: a sum of many parts is wider than each of them.
    spread = round(max(platt(mixed, asked.label)[0], _LEAST_SPREAD), 4)

    def personal(some: Candidates) -> np.ndarray:
        known = retrieval_score(_signals(config, some), chosen.signals)
        return personal_score(calibrated(scored(some), found.knots), known, chosen.retrieval_weight, spread)

    little = evidence_tuning.cold(config, zones, personal)
    halves, curve = evidence_tuning.halves(evidence_tuning.lists(config, zones, "C", asked, personal), little)
    blend = {
        "retrieval_weight": chosen.retrieval_weight,
        "signals": chosen.signals,
        "spread": spread,
        "evidence_half": halves.personal,
        "ranker_evidence_half": halves.ranker,
    }
    figures = {
        "ndcg_at_10_retrieval": chosen.retrieval_ndcg,
        "ndcg_at_10_ranker": mean_ndcg(logits, asked),
        "ndcg_at_10_blend": chosen.ndcg,
    }
    return found, blend, {name: round(value, 5) for name, value in figures.items()} | {"cold_start": curve}


def _signals(config: Config, asked: Candidates) -> dict[str, np.ndarray]:
    """``retrieval_score``'s signals among the ranker's inputs."""
    names = ranker_continuous(config.features)
    return {name: asked.continuous[:, names.index(name)] for name in RETRIEVAL_SIGNALS}
