"""What the ranker learns from: a window's candidates as arrays, request by request, and batches of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import tensorflow as tf

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import ranker_categorical, ranker_continuous
from contracts.model_settings import TrainSettings
from train import ranks, second_task
from train.batches import batches as drawn
from train.batches import constant
from train.ranking_loss import LIST, PADDED
from train.ranking_model import LABEL, SECOND, Inputs
from train.tables import flat, numbers, read


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Candidates of many requests, flat, those of a request side by side.

    Attributes:
        categorical: int64 ``[n, ranker_categorical]``.
        continuous: float32 ``[n, ranker_continuous]``, as served.
        label: float32 ``[n]``, 1 where it was taken.
        request: int64 ``[n]``, which request, from 0, rising.
        relevant: int64 ``[requests]``, items taken, found by retrieval or not.
        second: float32 ``[n]``, the second task's target; NaN where there is none.
    """

    categorical: np.ndarray
    continuous: np.ndarray
    label: np.ndarray
    request: np.ndarray
    relevant: np.ndarray
    second: np.ndarray

    def of(self, requests: np.ndarray) -> Candidates:
        """The candidates of some requests, int64 and rising, numbered anew."""
        place = np.minimum(np.searchsorted(requests, self.request), len(requests) - 1)
        kept = requests[place] == self.request
        return Candidates(
            self.categorical[kept],
            self.continuous[kept],
            self.label[kept],
            place[kept],
            self.relevant[requests],
            self.second[kept],
        )

    def share(self, rank: int, size: int) -> Candidates:
        """The candidates of every ``size``-th request from the ``rank``-th on."""
        return self.of(np.arange(rank, len(self.relevant), size)) if size > 1 else self


def load(config: Config, zones: Zones, window: str) -> Candidates:
    """One window's candidates.

    Raises:
        ArtifactError: when none of them, or all of them, were taken: there is nothing to tell apart; or when they were
            made from other rows than those of the features zone.
    """
    codes, values = ranker_categorical(config.features), ranker_continuous(config.features)
    known = ["row_id", LABEL, *(f"c_{name}" for name in codes), *(f"x_{name}" for name in values)]
    url = f"{zones.candidates}/window={window}"
    table = read(url, known + second_task.columns(config))
    table = table.take(np.argsort(numbers(table, "row_id"), kind="stable"))
    label = numbers(table, LABEL).astype(np.float32)
    if not 0 < label.sum() < len(label):
        raise ArtifactError(
            f"{url}: expected candidates that were taken and some that were not, "
            f"{int(label.sum())} of {len(label)} were; raise the candidates of [serve] or move [windows]"
        )
    rows, request = np.unique(numbers(table, "row_id"), return_inverse=True)
    return Candidates(
        _matrix(table, [f"c_{name}" for name in codes], np.int64),
        _matrix(table, [f"x_{name}" for name in values], np.float32),
        label,
        request,
        _relevant(zones, window, rows),
        second_task.targets(config, zones, table),
    )


def divided(learned: Candidates, share: float, seed: int) -> tuple[Candidates, Candidates]:
    """Candidates to learn from and to validate by: a seeded ``share`` of the requests, at least one, is held out."""
    number = len(learned.relevant)
    held_out = np.zeros(number, bool)
    held_out[np.random.default_rng(seed).permutation(number)[: max(1, round(share * number))]] = True
    return learned.of(np.flatnonzero(~held_out)), learned.of(np.flatnonzero(held_out))


def batches(learned: Candidates, inputs: Inputs, settings: TrainSettings, epochs: int) -> tuple[tf.data.Dataset, int]:
    """Batches of about ``ranker_batch`` candidates for Keras, whole lists of ``LIST`` places; how many an epoch has.

    The arrays lie in the graph and a batch is gathered there, without Python.
    """
    places = lists(learned, settings.seed)
    rows, categorical, continuous = map(constant, (places, learned.categorical, learned.continuous))
    label, target = constant(learned.label), constant(learned.second)

    def batch(_step, chosen):
        row = tf.reshape(tf.gather(rows, chosen), (-1, 1))
        held, at = row >= 0, tf.maximum(row[:, 0], 0)
        y = tf.where(held, tf.gather(label, at)[:, None], PADDED)
        if settings.second_task:
            y = {LABEL: y, SECOND: tf.where(held, tf.gather(target, at)[:, None], np.nan)}
        return inputs.split(tf.gather(categorical, at), tf.gather(continuous, at)), y

    size = min(max(1, settings.ranker_batch // LIST), len(places))
    steps = ranks.least(len(places) // size)
    return drawn(batch, len(places), size, steps, epochs, settings.seed), steps


def lists(learned: Candidates, seed: int) -> np.ndarray:
    """Rows of each request's candidates, int32 ``[requests, LIST]``; -1 where it has fewer.

    Of more than ``LIST`` candidates those that were taken come first, then a seeded sample of the others.
    """
    draw = np.random.default_rng(seed).random(len(learned.label))
    order = np.lexsort((draw - 2.0 * learned.label, learned.request))
    request = learned.request[order]
    place = np.arange(len(order)) - np.searchsorted(request, request)
    rows = np.full((len(learned.relevant), LIST), -1, np.int32)
    kept = place < LIST
    rows[request[kept], place[kept]] = order[kept]
    return rows


def columns(learned: Candidates, sizes: dict[str, int], names: tuple[str, ...]) -> Inputs:
    """The ranker's columns, standardised by some candidates."""
    deviation = learned.continuous.std(axis=0, dtype=np.float64)
    return Inputs(
        sizes,
        names,
        learned.continuous.mean(axis=0, dtype=np.float64).astype(np.float32),
        # What never varies in B is never learned from, and must not sway when it varies in serving: it becomes 0.
        np.where(deviation > 1e-6, deviation, np.inf).astype(np.float32),
    )


def _relevant(zones: Zones, window: str, rows: np.ndarray) -> np.ndarray:
    """How many items were taken by each of the rows, int64 ``[rows]``."""
    asked = read(f"{zones.features}/rows/window={window}", ["row_id", "target_item_codes"])
    known, lengths = numbers(asked, "row_id"), flat(asked, "target_item_codes")[1]
    if not np.isin(rows, known).all():
        raise ArtifactError(
            f"{zones.candidates}/window={window} has rows that {zones.features}/rows has not; "
            "run `python -m ensemble candidates` again"
        )
    order = np.argsort(known)
    return lengths[order[np.searchsorted(known[order], rows)]]


def _matrix(table: pa.Table, names: list[str], kind: type) -> np.ndarray:
    matrix = np.zeros((table.num_rows, len(names)), kind)
    for i, name in enumerate(names):
        matrix[:, i] = numbers(table, name)
    return matrix
