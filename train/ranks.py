"""Data-parallel training: one process a GPU, or a few on the cores, each with its share of the examples (Horovod).

Such a process is a *rank*. Every one holds the whole model; after each batch Horovod averages the gradients over all
ranks (Sergeev & Del Balso, "Horovod: fast and easy distributed deep learning in TensorFlow", 2018), so that all take
the same step and end with the same weights. Only rank 0, the *leader*, writes and shows its progress. A process that
nobody started as a rank is the only one, and needs no Horovod. ``train/launch.py`` starts the ranks of a machine.
"""

# pyright: reportMissingImports=false
# (Horovod is there only where `make horovod` built it)

from __future__ import annotations

import functools
import logging
import os
import zlib
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from contracts.errors import TrainError

log = logging.getLogger(__name__)

#: Share of all steps over which the learning rate rises to that of all ranks.
_WARM_UP = 0.1


class World(NamedTuple):
    """How many ranks there are, and which of them this process is."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this rank writes and shows."""
        return self.rank == 0


@functools.cache
def world() -> World:
    """Of this process; imports TensorFlow where there is a Horovod."""
    hvd = _horovod()
    return World(hvd.rank(), hvd.size()) if hvd else World(0, 1)


def place(environ: MutableMapping[str, str] = os.environ) -> None:
    """Give a rank its part of the machine; must stand before Merlin and TensorFlow look for devices.

    Each rank of a machine sees one GPU, the one of its number there, and takes its memory as needed. Without a GPU the
    ranks share the cores.
    """
    hvd = _horovod()
    if not hvd or hvd.size() == 1:
        return
    import tensorflow as tf

    visible = environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(number) for number in range(hvd.local_size())]
    environ["CUDA_VISIBLE_DEVICES"] = devices[hvd.local_rank() % len(devices)]
    environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    tf.config.threading.set_intra_op_parallelism_threads(max(1, (os.cpu_count() or 1) // hvd.local_size()))
    if not world().leads:
        logging.getLogger("train").setLevel(logging.WARNING)


def optimizer(learning_rate: float) -> Any:
    """Adam; over several ranks on the mean of their gradients."""
    from train.adam import Adam

    hvd, size = _horovod(), world().size
    if size == 1:
        return Adam(learning_rate)
    assert hvd
    # Merlin would wrap a bare one itself, but Keras models that are not Merlin's are trained here too.
    return hvd.DistributedOptimizer(Adam(learning_rate))


def callbacks(learning_rate: float, steps: int) -> list[Any]:
    """What Keras must do over several ranks: rank 0's weights for all, and a learning rate for all their examples.

    A step looks at ``size`` times as many examples, so it may be as many times as long, after a while at the ordinary
    length (Goyal et al., "Accurate, large minibatch SGD", 2017).
    """
    hvd, size = _horovod(), world().size
    if size == 1:
        return []
    import tensorflow as tf

    assert hvd
    warm_up = max(1, int(steps * _WARM_UP))

    class WarmUp(tf.keras.callbacks.Callback):
        """Sets the learning rate before each batch until it is the full one."""

        done = 0

        def on_train_batch_begin(self, batch: int, logs=None) -> None:
            if self.done <= warm_up:
                rate = learning_rate * (1 + (size - 1) * self.done / warm_up)
                tf.keras.backend.set_value(self.model.optimizer.lr, rate)  # pyright: ignore[reportOptionalMemberAccess]
            self.done += 1

    return [hvd.callbacks.BroadcastGlobalVariablesCallback(0), WarmUp()]


def least(number: int) -> int:
    """The least of all ranks' numbers: of batches, for a rank that had one more would wait for the others for ever."""
    return int(min(_gathered(number)))


def meet() -> None:
    """Wait until all ranks are here."""
    _gathered(0)


def agreed(figures: Mapping[str, float]) -> dict[str, float]:
    """The leader's figures, for all ranks: what they decide by must be the same to the last bit."""
    if world().size == 1:
        return dict(figures)
    import tensorflow as tf

    hvd = _horovod()
    assert hvd
    values = hvd.broadcast(tf.constant(list(figures.values()), tf.float64), root_rank=0).numpy()
    return dict(zip(figures, map(float, values)))


def check_equal(model: Any) -> None:
    """Whether all ranks ended with the same weights.

    Raises:
        TrainError: when they did not, so that no rank's model is taken for that of all.
    """
    trained = (np.ascontiguousarray(variable.numpy()).tobytes() for variable in model.trainable_variables)
    marks = _gathered(zlib.crc32(b"".join(trained)))
    if len(set(marks)) > 1:
        raise TrainError(
            f"expected equal weights on all {len(marks)} ranks after training, their checksums are {marks}: "
            "do all see the same data and run the same code?"
        )


def _gathered(number: int) -> list[int]:
    """One number of each rank."""
    if world().size == 1:
        return [number]
    import tensorflow as tf

    hvd = _horovod()
    assert hvd
    return hvd.allgather(tf.constant([number], tf.int64)).numpy().tolist()


@functools.cache
def _horovod() -> Any:
    """Horovod for Keras, or None where it is not built (``make horovod``)."""
    try:
        import horovod.tensorflow.keras as hvd
    except ImportError:
        return None
    hvd.init()
    return hvd
