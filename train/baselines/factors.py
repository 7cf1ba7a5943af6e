"""Users and items as vectors: ALS and LightFM."""

from __future__ import annotations

import numpy as np

from train.als import item_factors
from train.baselines.task import Scores, Task


def als(task: Task, factors: int, regularization: float) -> Scores:
    """As a release has it: a request's vector comes from its own history, so that what came after the fit counts."""
    items = item_factors(task.interactions, int(factors), regularization, task.seed)
    return lambda rows: (task.histories[rows] @ items) @ items.T


def lightfm_warp(task: Task, factors: int, epochs: int) -> Scores:
    """Weston, Bengio and Usunier, "WSABIE", IJCAI 2011, as LightFM fits it: ids alone.

    Whoever asks and was not there at the fit gets the items' biases, which is popularity.
    """
    from lightfm import LightFM

    model = LightFM(no_components=factors, loss="warp", learning_rate=0.05, random_state=task.seed)
    # Threads update the same weights without locks: more than one, and no two runs agree.
    model.fit(task.interactions, epochs=epochs, num_threads=1)
    known = task.users >= 0
    vectors = np.where(known[:, None], model.user_embeddings[task.users], 0.0)
    return lambda rows: vectors[rows] @ model.item_embeddings.T + model.item_biases
