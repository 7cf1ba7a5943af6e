"""How training is watched: a bar with loss and samples a second on standard error, and the best epoch kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from train.ranks import world

log = logging.getLogger(__name__)

#: Points of a training curve that a manifest keeps.
_MOST_LOSSES = 200
#: Batches in one call of TensorFlow, and calls of an epoch of many batches: the bar moves by calls.
_MOST_TOGETHER, _LEAST_CALLS = 16, 8


def together(batches: int) -> int:
    """How many of an epoch's batches are trained on in one call of TensorFlow, with nothing of Python between them.

    A step of the ranker takes milliseconds, one of them Python's. Horovod's callbacks must act at every batch.
    """
    return 1 if world().size > 1 else max(1, min(_MOST_TOGETHER, batches // _LEAST_CALLS))


class TrainingBar(tf.keras.callbacks.Callback):
    """A Keras callback over all epochs.

    Attributes:
        losses: mean loss of each of at most 200 stretches of the batches, in order.
        loss: mean loss of the last epoch.
    """

    def __init__(self, title: str, batches: int, batch_size: int, epochs: int):
        super().__init__()
        self.loss = float("nan")
        self.losses: list[float] = []
        self._stretch_batches = -(-batches * epochs // _MOST_LOSSES)
        self._stretch, self._in_stretch = 0.0, 0
        self._batches, self._batch_size, self._epochs, self._title = batches, batch_size, epochs, title
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(
                "{task.completed}/{task.total}  loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} samples/s"
            ),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not world().leads,
        )
        self._task = TaskID(0)
        self._done = 0
        self._in_epoch = 0
        self._started = 0.0

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever ended the training gives the terminal back."""
        self._bar.stop()

    def on_train_begin(self, logs=None) -> None:
        """Open the bar."""
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._batches * self._epochs, loss=float("nan"), rate=0.0)
        self._started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        """Start the mean anew."""
        self._in_epoch, self.loss = 0, 0.0

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        """Move on to a batch: by several where they were trained on together (Keras tells of their last)."""
        new, mean = batch + 1 - self._in_epoch, float((logs or {})["loss"])
        # Keras tells the mean of the epoch so far.
        self._stretch += mean * (batch + 1) - self.loss * self._in_epoch
        self._in_stretch += new
        self._done, self._in_epoch, self.loss = self._done + new, batch + 1, mean
        if self._in_stretch >= self._stretch_batches:
            self._close_stretch()
        rate = self._done * self._batch_size * world().size / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, advance=new, loss=self.loss, rate=rate)

    def on_train_end(self, logs=None) -> None:
        """Close the bar; what is left of the last stretch counts as one."""
        if self._in_stretch:
            self._close_stretch()
        self._bar.stop()

    def _close_stretch(self) -> None:
        self.losses.append(round(self._stretch / self._in_stretch, 5))
        self._stretch, self._in_stretch = 0.0, 0


#: Epochs without a better figure after which training ends.
PATIENCE = 3


class BestEpoch(tf.keras.callbacks.Callback):
    """Judges every epoch, stops when none gets better any more, and leaves the weights of the best.

    Attributes:
        figures: of the best epoch; empty before the first.
        epochs: how many epochs the best weights have learned.
    """

    def __init__(self, judge: Callable[[], dict[str, float]], on_epoch: Callable[[int, float], None] | None):
        super().__init__()
        self.figures: dict[str, float] = {}
        self.epochs = 0
        self._judge, self._on_epoch = judge, on_epoch
        self._weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Judge the weights, and keep them where they are the best so far."""
        figures = self._judge()
        figure = figures["ndcg_at_10"]
        log.info("epoch %d: NDCG@10 %.4f on held-out rows", epoch + 1, figure)
        if not self.epochs or figure > self.figures["ndcg_at_10"]:
            self.figures, self.epochs = figures, epoch + 1
            self._weights = self.model.get_weights()
        elif epoch + 1 - self.epochs >= PATIENCE:
            self.model.stop_training = True
        if self._on_epoch:
            self._on_epoch(epoch, figure)

    def on_train_end(self, logs=None) -> None:
        """Put the best weights back."""
        self.model.set_weights(self._weights)
