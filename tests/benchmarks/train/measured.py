"""``python -m tests.benchmarks.train.measured KIND CONFIG``: one measurement in a process of its own, as JSON.

The rate is that of the batches after the first ten, which trace the graph; what lies between epochs does not count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from contracts.artifacts import read_manifest, zones
from contracts.config import Config, load
from contracts.features import FIRST_VALUE, query_columns
from contracts.stack import stack_settings
from tests.benchmarks.train import plain_keras
from train import inputs, negatives, pairs, ranker, ranking_rows, retrieval, sequences, validation
from train.progress import TrainingBar
from train.retrieval import Lesson
from train.tables import catalogue, first_interactions

_WARM = 10
_EPOCHS = 2


class Clock(tf.keras.callbacks.Callback):
    """When each batch ended of which Keras tells, by epoch: of several that are trained on in one call, the last."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[list[tuple[int, float]]] = []

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self.epochs.append([])

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.epochs[-1].append((batch, time.perf_counter()))

    def seconds(self) -> float:
        """Seconds of a batch, the mean."""
        batches = took = 0.0
        for number, ends in enumerate(self.epochs):
            counted = ends if number else [end for end in ends if end[0] >= _WARM]
            batches += counted[-1][0] - counted[0][0]
            took += counted[-1][1] - counted[0][1]
        return took / batches


@contextlib.contextmanager
def watched() -> Iterator[Clock]:
    """Our training with a clock beside its bar."""
    clock = Clock()

    class Watched(TrainingBar):
        def on_epoch_begin(self, epoch, logs=None) -> None:
            super().on_epoch_begin(epoch, logs)
            clock.on_epoch_begin(epoch)

        def on_train_batch_end(self, batch, logs=None) -> None:
            super().on_train_batch_end(batch, logs)
            clock.on_train_batch_end(batch)

    before = retrieval.TrainingBar
    retrieval.TrainingBar = ranker.TrainingBar = Watched
    yield clock
    retrieval.TrainingBar = ranker.TrainingBar = before


def alone(batches: tf.data.Dataset) -> float:
    """Seconds in which the input pipeline makes a batch when nothing waits for it."""
    ends = [time.perf_counter() for _ in batches]
    return float(np.diff(ends)[_WARM:].mean())


def two_tower(config: Config, held, learned, plain: bool) -> dict:
    """Our two-tower or its plain twin over the same pairs."""
    settings, names = config.train, query_columns(config.features)
    frequencies = np.bincount(learned.item, minlength=held.size + FIRST_VALUE) + 0.5
    if plain:
        shape = inputs.shape(config, held, {})
        counts = negatives.expected(frequencies, settings.retrieval_batch, None)
        model = plain_keras.two_tower(shape, counts, settings.temperature, settings.learning_rate)
        wanted = (settings.retrieval_batch, settings.id_dropout, settings.seed)
        batches, clock = plain_keras.pairs(learned, held.item_codes, names, *wanted), Clock()
        model.fit(batches, epochs=_EPOCHS, verbose=0, callbacks=[clock])
    else:
        with watched() as clock:
            model = retrieval.fit(config, held, Lesson(learned, None, _EPOCHS)).model
        batches, _ = inputs.batches(config, held, learned, 1)
    return told(model, batches, clock, settings.retrieval_batch)


def attention(config: Config, held, zone) -> dict:
    """The two-tower that reads order, over the same window; it has no twin in plain Keras."""
    settings = dataclasses.replace(config.train, query_encoder="attention")
    config = dataclasses.replace(config, train=settings)
    learned = sequences.load(config, zone, held, ("A",))
    with watched() as clock:
        model = retrieval.fit(config, held, Lesson(learned, None, 1)).model
    batches, steps = inputs.batches(config, held, learned, 1)
    return told(model, batches, clock, len(learned.item) // steps)


def ranked(config: Config, zone, plain: bool) -> dict:
    """Our ranker (DCN) or its plain twin over window B's candidates."""
    settings = config.train
    everything = ranking_rows.load(config, zone, "B")
    learned, held_out = ranking_rows.divided(everything, 0.15, settings.seed)
    columns = ranker.inputs(config, zone, everything)
    batch = settings.ranker_batch // ranking_rows.LIST * ranking_rows.LIST
    if plain:
        rows = ranking_rows.lists(learned, settings.seed)
        model = plain_keras.ranker(dict(columns.sizes), len(columns.continuous), settings)
        batches, clock = plain_keras.requests(learned, rows, columns, settings), Clock()
        model.fit(batches, epochs=_EPOCHS, verbose=0, callbacks=[clock])
    else:
        with watched() as clock:
            model = ranker.fit(config, columns, everything).model
        batches, _ = ranking_rows.batches(learned, columns, settings, 1)
    return told(model, batches, clock, batch)


def told(model, batches, clock: Clock, batch: int) -> dict:
    """The figures of one training."""
    step = clock.seconds()
    parameters = int(sum(np.prod(variable.shape) for variable in model.trainable_variables))
    return {"per_s": batch / step, "parameters": parameters, "input_share": alone(batches) / step}


def quality(config: Config, held, learned, rows, target: float) -> dict:
    """Seconds of training until the two-tower's NDCG@10 on window C is ``target``, None where it never is; its best.

    Judging it does not count.
    """
    started, judged, reached, best = time.perf_counter(), 0.0, None, 0.0
    evaluate = retrieval.evaluate

    def timed(*arguments):
        nonlocal judged
        before = time.perf_counter()
        found = evaluate(*arguments)
        judged += time.perf_counter() - before
        return found

    class ReachedError(Exception):
        pass

    def on_epoch(_epoch: int, figure: float) -> None:
        nonlocal reached, best
        best = max(best, figure)
        if figure >= target:
            reached = time.perf_counter() - started - judged
            raise ReachedError

    retrieval.evaluate = timed
    with contextlib.suppress(ReachedError):
        retrieval.fit(config, held, Lesson(learned, rows, 20), on_epoch)
    return {"seconds": reached, "ndcg_at_10": best}


def lightfm(config: Config, held, zone, rows) -> dict:
    """LightFM (WARP, ids alone) on the same window: its best NDCG@10 on window C, and the seconds of training to it."""
    from lightfm import LightFM
    from scipy import sparse

    until = read_manifest(zone.processed)["retrieval_end"]
    users, items = first_interactions(zone, held, until)
    size = len(held.vocabularies["user_id"])
    names = {name: place for place, name in enumerate(held.vocabularies["user_id"].to_pylist())}
    users = np.array([names.get(name, -1) for name in held.user_ids])[users]
    known = users >= 0
    taken = sparse.coo_matrix((np.ones(known.sum(), np.float32), (users[known], items[known])), (size, held.size))
    model = LightFM(no_components=config.train.embedding_dim, loss="warp", random_state=config.train.seed)
    seconds, best = 0.0, (0.0, 0.0, 0)
    places = rows.queries.user_codes[:, 0] - FIRST_VALUE
    for epoch in range(30):
        started = time.perf_counter()
        model.fit_partial(taken, epochs=1, num_threads=2)
        seconds += time.perf_counter() - started
        vectors = np.where((places >= 0)[:, None], model.user_embeddings[np.maximum(places, 0)], 0.0)
        queries = np.concatenate([vectors, np.ones((len(vectors), 1))], axis=1).astype(np.float32)
        catalogue_ = np.concatenate([model.item_embeddings, model.item_biases[:, None]], axis=1).astype(np.float32)
        figure = validation.judge(queries, catalogue_, rows)["ndcg_at_10"]
        best = max(best, (figure, -seconds, epoch + 1))
    return {"ndcg_at_10": best[0], "seconds": -best[1], "epochs": best[2]}


def main(kind: str, path: str, target: str = "0") -> dict:
    """One measurement."""
    config = load(path)
    zone = zones(stack_settings().root, config)
    settings = dataclasses.replace(config.train, query_encoder="pooling", ranker="dcn", second_task="", ranker_epochs=2)
    settings = dataclasses.replace(settings, sampled_negatives=0, item_id_dropout=0.0)  # the twin has neither
    config = dataclasses.replace(config, train=settings)
    if kind.startswith("ranker"):
        return ranked(config, zone, kind.endswith("keras"))
    held = catalogue(config, zone)
    rows = validation.load(config, zone, held)
    if kind == "attention":
        return attention(config, held, zone)
    if kind == "lightfm":
        return lightfm(config, held, zone, rows)
    learned = pairs.load(config, zone, held, ("A",))
    if kind == "quality":
        return quality(config, held, learned, rows, float(target))
    return two_tower(config, held, learned, kind.endswith("keras"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
