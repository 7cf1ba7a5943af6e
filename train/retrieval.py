"""The retrieval half of a release: the two-tower model and collaborative filtering, fitted on whole windows.

``fit`` takes window A, so that windows B and C hold what retrieval has not memorised and the ranker can learn from its
candidates; ``refit`` takes everything before the cut, and is what serves.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import merlin.models.tf as mm
import numpy as np
import tensorflow as tf

from contracts.artifacts import Zones, drop_manifest, is_current, read_manifest, write_manifest
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, OUT_OF_VOCABULARY, query_columns
from train import (
    collaborative,
    current,
    inputs,
    negatives,
    pairs,
    precision,
    ranks,
    sequences,
    stored,
    validation,
    weights,
)
from train.attention import SequenceTwoTower
from train.inputs import item_inputs, query_inputs, shape
from train.onnx_export import export
from train.pairs import Pairs, Queries
from train.progress import BestEpoch, TrainingBar, together
from train.sequences import Sequences
from train.tables import Catalogue, catalogue
from train.towers import RECENT_ITEMS, RECENT_WEIGHTS, two_tower
from train.validation import HeldOut
from train.weights import Trained

log = logging.getLogger(__name__)

TwoTower = mm.RetrievalModelV2 | SequenceTwoTower

#: Which windows a fit learns from, and the key of the features manifest that says where they end.
WINDOWS = {"fit": (("A",), "retrieval_end"), "refit": (("A", "B", "C"), "cut")}
#: Smooths how often an item is a target, so that one that never is has a finite logarithm.
_SMOOTHING = 0.5


def run(
    config: Config,
    zones: Zones,
    kind: str,
    force: bool = False,
    on_epoch: Callable[[int, float], None] | None = None,
) -> dict[str, Any]:
    """Fill ``models/retrieval/<kind>``; the figures of its manifest (``on_epoch``: of ``fit``)."""
    zone = f"{zones.retrieval}/{kind}"
    mark = current.retrieval_mark(config, zones, kind)
    if not force and (done := current.facts(zone, mark)):
        return done
    until = int(read_manifest(zones.processed)[WINDOWS[kind][1]])
    started = time.monotonic()
    held = catalogue(config, zones)
    lesson = learn(config, zones, held, kind)
    fitted = fit(config, held, lesson, on_epoch)
    if not ranks.world().leads:
        return {}
    drop_manifest(zone)
    facts = write(config, zones, zone, held, lesson, fitted, until)
    facts["seconds"] = round(time.monotonic() - started, 1)
    write_manifest(zone, mark, **facts)
    return facts


def write(
    config: Config, zones: Zones, zone: str, held: Catalogue, lesson: Lesson, fitted: Fitted, until: int
) -> dict[str, Any]:
    """Write all of a retrieval zone but its manifest, collaborative filtering as of an instant too; its figures."""
    settings = config.train
    items, collaborative_facts = collaborative.write(config, zones, zone, held, until)
    onnx, error = query_onnx(fitted.model, config, lesson.pairs.queries)
    stored.write(zone, "query_tower.onnx", onnx)
    stored.write_array(zone, "item_embeddings.npy", item_embeddings(fitted.model, met_only(config, held, items)))
    stored.write_arrays(zone, weights.FILE, **weights.arrays(fitted.model))
    return {
        "fitted_until": until,
        "temperature": settings.temperature,
        "recent_half_life_hours": settings.recent_half_life_hours,
        **weights.described(config, zones, shape(config, held, lesson.start.widths if lesson.start else {})),
        "query_columns": list(query_columns(config.features)),
        "pairs": len(lesson.pairs.item),
        "losses": fitted.losses,
        "epochs": fitted.epochs,
        "validation": fitted.validation,
        "ranks": ranks.world().size,
        "onnx_error": error,
        **collaborative_facts,
    }


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a fit learns.

    Attributes:
        pairs: what it learns from.
        validation: the rows by which each epoch is judged; None: all epochs are taken.
        epochs: most epochs.
        start: the model that it goes on with, which knew a part of the catalogue; None: a new one.
    """

    pairs: Pairs | Sequences
    validation: HeldOut | None
    epochs: int
    start: Trained | None = None


def learn(config: Config, zones: Zones, held: Catalogue, kind: str) -> Lesson:
    """The pairs of a fit's windows. ``fit`` is judged by window C; ``refit``, which learns C too, repeats its epochs.

    Raises:
        ArtifactError: when ``fit`` was not made with these settings.
    """
    learn_from = sequences if config.train.query_encoder == "attention" else pairs
    learned = learn_from.load(config, zones, held, WINDOWS[kind][0])
    if kind == "fit":
        return Lesson(learned, validation.load(config, zones, held), config.train.retrieval_epochs)
    zone = f"{zones.retrieval}/fit"
    if not is_current(zone, current.retrieval_mark(config, zones, "fit")):
        raise ArtifactError(
            f"{zone} was made from other data, settings or code, and refit needs its number of epochs; "
            "run `python -m train retrieval --fit` first"
        )
    return Lesson(learned, None, int(read_manifest(zone)["epochs"]))


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        model: with the weights of its best epoch.
        losses: the training curve (``TrainingBar.losses``).
        epochs: how many epochs the weights have learned.
        validation: figures of ``train.validation.judge``; empty without rows to judge by.
    """

    model: TwoTower
    losses: list[float]
    epochs: int
    validation: dict[str, float]


def fit(
    config: Config, held: Catalogue, lesson: Lesson, on_epoch: Callable[[int, float], None] | None = None
) -> Fitted:
    """Train the two towers until an epoch no longer helps.

    Args:
        config: the data set.
        held: its catalogue.
        lesson: of ``learn``.
        on_epoch: called after each epoch with its number (from 0) and NDCG@10 on the validation rows, where there are
            some; what it raises ends the training.
    """
    settings = config.train
    tf.keras.utils.set_random_seed(settings.seed)
    learned = lesson.pairs.share(*ranks.world())
    policy = precision.policy(settings.mixed_precision)
    model = build(config, held, lesson)
    trained = model if policy == precision.WHOLE else build(config, held, lesson, policy)
    batches, steps = inputs.batches(config, held, learned, lesson.epochs)
    bar = TrainingBar("two-tower", steps, min(settings.retrieval_batch, len(learned.item)), lesson.epochs)

    def judged() -> dict[str, float]:
        precision.take_over(model, trained)
        return ranks.agreed(evaluate(model, config, held, lesson.validation))

    best = BestEpoch(judged, on_epoch)
    optimizer = precision.optimizer(ranks.optimizer(settings.learning_rate), policy)
    trained.compile(optimizer=optimizer, metrics=[], steps_per_execution=together(steps))
    watched = [*ranks.callbacks(settings.learning_rate, steps * lesson.epochs), bar]
    watched += [best] if lesson.validation else []
    with bar:
        trained.fit(batches, epochs=lesson.epochs, steps_per_epoch=steps, verbose=0, callbacks=watched)  # pyright: ignore[reportArgumentType]
    precision.take_over(model, trained)
    ranks.check_equal(model)
    return Fitted(model, bar.losses, best.epochs or lesson.epochs, best.figures)


def build(config: Config, held: Catalogue, lesson: Lesson, policy: str = precision.WHOLE) -> TwoTower:
    """A new model, or one that is trained already and grown to a catalogue; its deep layers compute by ``policy``."""
    settings, start = config.train, lesson.start
    sizes = shape(config, held, start.widths if start else {})
    if settings.query_encoder == "attention":
        model: Any = SequenceTwoTower(sizes, held.item_columns, settings.item_id_dropout, policy)
    else:
        frequencies = np.bincount(lesson.pairs.item, minlength=held.size + FIRST_VALUE) + _SMOOTHING
        number, power = settings.sampled_negatives, settings.sampled_power
        beside = negatives.drawn(number, power, frequencies, held.item_columns) if number else None
        met = negatives.expected(frequencies, min(settings.retrieval_batch, len(lesson.pairs.item)), beside)
        model = two_tower(sizes, met, settings.temperature, settings.item_id_dropout, beside, policy)
    # The first call makes its variables.
    model.query_encoder(query_inputs(pairs.blank(config), query_columns(config.features)))
    model.candidate_encoder(item_inputs(held, np.array([OUT_OF_VOCABULARY])))
    if start:
        weights.restore(model, start)
    return model


def evaluate(model: TwoTower, config: Config, held: Catalogue, rows: HeldOut | None) -> dict[str, float]:
    """Figures of ``train.validation.judge`` of a model as it is."""
    if rows is None:
        return {}
    names, size = query_columns(config.features), len(rows.queries.user_codes)
    parts = (rows.queries.take(part) for part in np.array_split(np.arange(size), size // validation.CHUNK + 1))
    embedded = np.concatenate([model.query_encoder(query_inputs(part, names)).numpy() for part in parts])
    return validation.judge(embedded, item_embeddings(model, held), rows)


def met_only(config: Config, held: Catalogue, items: np.ndarray) -> Catalogue:
    """The catalogue with the ids of items hidden that nobody has met, where training hid ids too.

    Such an item is then embedded by its attributes, as out of vocabulary: its own row was never trained.

    Args:
        config: with ``train.item_id_dropout``.
        held: the catalogue.
        items: int64, places of the items that somebody met.
    """
    if not config.train.item_id_dropout:
        return held
    ids = np.full(FIRST_VALUE + held.size, OUT_OF_VOCABULARY)
    ids[:FIRST_VALUE], ids[FIRST_VALUE + items] = np.arange(FIRST_VALUE), FIRST_VALUE + items
    return dataclasses.replace(held, item_codes={**held.item_codes, "item_id": ids})


def item_embeddings(model: TwoTower, held: Catalogue) -> np.ndarray:
    """Embeddings of the whole catalogue in the order of codes, float32 ``[catalogue, dim]``."""
    codes = np.arange(FIRST_VALUE, FIRST_VALUE + held.size)
    parts = np.array_split(codes, max(1, held.size // 4096))
    return np.concatenate([model.candidate_encoder(item_inputs(held, part)).numpy() for part in parts])


def query_onnx(model: TwoTower, config: Config, known: Queries) -> tuple[bytes, float]:
    """The query tower as ONNX, and its largest difference from TensorFlow on training rows and on an unknown user."""
    names, length = query_columns(config.features), config.features.recent_items

    def embed(user_codes, recent_items, recent_weights):
        return model.query_encoder(query_inputs(Queries(user_codes, recent_items, recent_weights), names))

    specs = (
        tf.TensorSpec((None, len(names)), tf.int64, "user_codes"),
        tf.TensorSpec((None, length), tf.int64, RECENT_ITEMS),
        tf.TensorSpec((None, length), tf.float32, RECENT_WEIGHTS),
    )
    some = [known.take(np.arange(size) % len(known.user_codes)) for size in (1, 7, 64)]
    samples = [
        {
            "user_codes": rows.user_codes.astype(np.int64),
            RECENT_ITEMS: rows.recent_items.astype(np.int64),
            RECENT_WEIGHTS: rows.recent_weights,
        }
        for rows in (*some, pairs.blank(config))
    ]
    return export(embed, specs, "query_embedding", samples)
