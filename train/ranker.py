"""The ranking half of a release: fitted on window B's candidates, calibrated and weighed on window C."""

from __future__ import annotations

import logging
import time
from typing import Any

import fsspec
import merlin.models.tf as mm
import numpy as np
import onnxruntime
import pyarrow as pa
import tensorflow as tf

from contracts.artifacts import Zones, drop_manifest, read_json, write_json, write_manifest
from contracts.blending import retrieval_score
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, ranker_categorical, ranker_continuous
from train import current
from train.blend_tuning import Requests, mean_ndcg, platt, retrieval_weight
from train.onnx_export import export
from train.progress import TrainingBar
from train.ranking_model import LABEL, Inputs, build
from train.tables import flat, numbers, read

log = logging.getLogger(__name__)


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Fill ``models/ranker``; the figures of its manifest."""
    mark = current.ranker_mark(config, zones)
    if not force and (done := current.facts(zones.ranker, mark)):
        return done
    drop_manifest(zones.ranker)
    started = time.monotonic()
    learned, held_out = candidates(config, zones, "B"), candidates(config, zones, "C")
    asked = requests(zones, held_out)
    inputs = _inputs(config, zones, learned)
    model, losses = fit(config, inputs, *_matrices(config, learned))
    onnx, error = ranker_onnx(model, inputs, *_matrices(config, learned))
    blend, figures = tune(config, onnx, held_out, asked)
    filesystem, path = fsspec.core.url_to_fs(f"{zones.ranker}/ranker.onnx")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, onnx)
    write_json(f"{zones.ranker}/blend.json", blend)
    facts = {
        **blend,
        **figures,
        "kind": config.train.ranker,
        "candidates": learned.num_rows,
        "losses": losses,
        "onnx_error": error,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_manifest(zones.ranker, mark, **facts)
    return facts


def candidates(config: Config, zones: Zones, window: str) -> pa.Table:
    """One window's candidates.

    Raises:
        ArtifactError: when none of them, or all of them, were taken: there is nothing to tell apart.
    """
    features = [f"c_{name}" for name in ranker_categorical(config.features)]
    features += [f"x_{name}" for name in ranker_continuous(config.features)]
    table = read(f"{zones.candidates}/window={window}", ["row_id", "label", *features])
    taken = int(numbers(table, "label").sum()) if table.num_rows else 0
    if not 0 < taken < table.num_rows:
        raise ArtifactError(
            f"{zones.candidates}/window={window}: expected candidates that were taken and some that were not, "
            f"{taken} of {table.num_rows} were; raise the candidates of [serve] or move [windows]"
        )
    return table


def fit(config: Config, inputs: Inputs, categorical, continuous, labels) -> tuple[mm.Model, list[float]]:
    """Train on a window's candidates; the model and its training curve (``TrainingBar.losses``)."""
    settings = config.train
    tf.keras.utils.set_random_seed(settings.seed)
    generator = np.random.default_rng(settings.seed)
    model = build(settings.ranker, inputs)
    batch = min(settings.ranker_batch, len(labels))

    def epoch():
        order = generator.permutation(len(labels))
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            yield inputs.split(categorical[chosen], continuous[chosen]), labels[chosen, None]

    columns = {f"c_{name}": tf.TensorSpec((None, 1), tf.int64) for name in inputs.sizes}
    columns |= {f"x_{name}": tf.TensorSpec((None, 1), tf.float32) for name in inputs.continuous}
    signature = (columns, tf.TensorSpec((None, 1), tf.float32))
    batches = tf.data.Dataset.from_generator(epoch, output_signature=signature).prefetch(2)
    bar = TrainingBar(settings.ranker, len(labels) // batch, batch, settings.ranker_epochs)
    model.compile(optimizer=tf.keras.optimizers.Adam(settings.learning_rate), metrics=[])
    model.fit(batches, epochs=settings.ranker_epochs, verbose=0, callbacks=[bar])  # pyright: ignore[reportArgumentType]
    return model, bar.losses


def ranker_onnx(model: mm.Model, inputs: Inputs, categorical, continuous, labels) -> tuple[bytes, float]:
    """The ranker as ONNX, standardisation inside, and its largest relative difference from TensorFlow."""

    def logit(codes, values):
        return tf.reshape(model(inputs.split(codes, values)), (-1,))

    specs = (
        tf.TensorSpec((None, len(inputs.sizes)), tf.int64, "categorical"),
        tf.TensorSpec((None, len(inputs.continuous)), tf.float32, "continuous"),
    )
    samples = [
        {"categorical": categorical[rows], "continuous": continuous[rows]}
        for rows in (np.arange(size) % len(labels) for size in (1, 100, 500))
    ]
    return export(logit, specs, "logit", samples, relative=True)


def tune(config: Config, onnx: bytes, table: pa.Table, asked: Requests) -> tuple[dict[str, float], dict[str, float]]:
    """Calibration and retrieval's weight by window C's candidates: ``blend.json``, and NDCG@10 of each order on C."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    categorical, continuous, labels = _matrices(config, table)
    (logits,) = session.run(["logit"], {"categorical": categorical, "continuous": continuous})
    slope, offset = platt(logits, labels)
    if slope <= 0:
        raise ArtifactError(
            f"the ranker's order is worse than chance on window C (Platt slope {slope:.3f}, expected > 0): "
            "windows B and C differ too much, or B holds too few candidates; move [windows]"
        )
    probability = 1.0 / (1.0 + np.exp(-(slope * logits + offset)))
    retrieval = retrieval_score(
        numbers(table, "x_two_tower_score"), numbers(table, "x_similar_score"), config.serve.similar_weight
    )
    weight, blended = retrieval_weight(probability, retrieval, asked)
    figures = {
        "ndcg_at_10_retrieval": mean_ndcg(retrieval, asked),
        "ndcg_at_10_ranker": mean_ndcg(logits, asked),
        "ndcg_at_10_blend": blended,
    }
    blend = {"platt_a": slope, "platt_b": offset, "retrieval_weight": weight}
    return blend, {name: round(value, 5) for name, value in figures.items()}


def requests(zones: Zones, table: pa.Table) -> Requests:
    """Which of window C's candidates belong to one request, and how much was taken in each.

    Raises:
        ArtifactError: when the candidates were made from other rows.
    """
    rows, request = np.unique(numbers(table, "row_id"), return_inverse=True)
    asked = read(f"{zones.features}/rows/window=C", ["row_id", "target_item_codes"])
    known, lengths = numbers(asked, "row_id"), flat(asked, "target_item_codes")[1]
    if not np.isin(rows, known).all():
        raise ArtifactError(
            f"{zones.candidates}/window=C has rows that {zones.features}/rows has not; "
            "run `python -m ensemble candidates` again"
        )
    order = np.argsort(known)
    relevant = lengths[order[np.searchsorted(known[order], rows)]]
    return Requests(request, numbers(table, "label").astype(bool), relevant)


def _inputs(config: Config, zones: Zones, table: pa.Table) -> Inputs:
    encodings = read_json(f"{zones.features}/encodings.json")
    _, continuous, _ = _matrices(config, table)
    deviation = continuous.std(axis=0, dtype=np.float64)
    return Inputs(
        {name: FIRST_VALUE + len(encodings[name]) for name in ranker_categorical(config.features)},
        ranker_continuous(config.features),
        continuous.mean(axis=0, dtype=np.float64).astype(np.float32),
        # What never varies in B is never learned from, and must not sway when it varies in serving: it becomes 0.
        np.where(deviation > 1e-6, deviation, np.inf).astype(np.float32),
    )


def _matrices(config: Config, table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``categorical`` int64 ``[n, columns]``, ``continuous`` float32 ``[n, columns]``, labels float32 ``[n]``."""
    names = ranker_categorical(config.features)
    categorical = np.zeros((table.num_rows, len(names)), np.int64)
    for i, name in enumerate(names):
        categorical[:, i] = numbers(table, f"c_{name}")
    continuous = [numbers(table, f"x_{name}") for name in ranker_continuous(config.features)]
    return (
        categorical,
        np.stack(continuous, axis=1).astype(np.float32),
        numbers(table, LABEL).astype(np.float32),
    )
