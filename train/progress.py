"""How training is watched: a bar with loss and samples a second on standard error."""

from __future__ import annotations

import time

import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class TrainingBar(tf.keras.callbacks.Callback):
    """A Keras callback over all epochs; ``loss`` is the mean loss of the last epoch afterwards."""

    def __init__(self, title: str, batches: int, batch_size: int, epochs: int):
        super().__init__()
        self.loss = float("nan")
        self._batches, self._batch_size, self._epochs, self._title = batches, batch_size, epochs, title
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(
                "{task.completed}/{task.total}  loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} samples/s"
            ),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = TaskID(0)
        self._done = 0
        self._total = 0.0
        self._started = 0.0

    def on_train_begin(self, logs=None) -> None:
        """Open the bar."""
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._batches * self._epochs, loss=float("nan"), rate=0.0)
        self._started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        """Start the mean anew."""
        self._total = 0.0

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        """Move on by a batch."""
        self._done += 1
        self._total += float((logs or {})["loss_batch"])
        self.loss = self._total / (batch + 1)
        rate = self._done * self._batch_size / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, advance=1, loss=self.loss, rate=rate)

    def on_train_end(self, logs=None) -> None:
        """Close the bar."""
        self._bar.stop()
