"""Users and items as vectors: ALS and LightFM."""

from __future__ import annotations

import numpy as np

from train.baselines.task import Scores, Task


def als(task: Task, factors: int, regularization: float) -> Scores:
    """Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008 (``implicit``).

    A request's vector is computed from its own history, so that what came after the fit counts.
    """
    import threadpoolctl
    from implicit.als import AlternatingLeastSquares

    # implicit has threads of its own, which those of BLAS would only hinder.
    with threadpoolctl.threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=factors, regularization=regularization, alpha=1.0, iterations=15, random_state=task.seed
        )
        model.fit(task.interactions, show_progress=False)
        vectors = model.recalculate_user(np.arange(len(task.as_of)), task.histories)
    return lambda rows: vectors[rows] @ model.item_factors.T


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
