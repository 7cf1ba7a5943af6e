"""The two graphs of a release, run by onnxruntime in this process: one thread, no spinning.

Where a server runs them as models of its own (``ensemble/gpu_repository.py``), the steps are handed another ``Graph``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from contracts.errors import ArtifactError
from contracts.features import ranker_categorical, ranker_continuous
from ensemble.steps.release import Release

if TYPE_CHECKING:
    import onnxruntime

QUERY_TOWER = "retrieval/1/query_tower.onnx"
ITEM_EMBEDDINGS = "retrieval/1/item_embeddings.npy"
RANKER = "ranker/1/ranker.onnx"

#: Arrays by the names of a graph's inputs -> its one output.
Graph = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def session(model: bytes) -> onnxruntime.InferenceSession:
    """An ONNX graph on the CPU.

    Servers share few cores and scale by instances: with two threads that spin, a ranker was 5 to 6 times slower on a
    contended machine.
    """
    # Here, because most steps are processes that run no graph: it is 15 MiB of each.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def two_tower(release: Release) -> Graph:
    """``user_codes``, ``recent_items``, ``recent_weights`` -> cosines with every item, float32 ``[b, items]``."""
    tower = session(release.read(QUERY_TOWER))
    items = release.array(ITEM_EMBEDDINGS)

    def scores(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        (embedding,) = tower.run(["query_embedding"], dict(inputs))
        return np.asarray(embedding) @ items.T

    return scores


def ranker(release: Release) -> Graph:
    """``categorical``, ``continuous`` -> logits, float32 ``[candidates]``.

    Raises:
        ArtifactError: when it takes other columns than there are: a release of code that had others.
    """
    model, settings = session(release.read(RANKER)), release.features
    wanted = {"categorical": len(ranker_categorical(settings)), "continuous": len(ranker_continuous(settings))}
    held = {one.name: one.shape[1] for one in model.get_inputs()}
    if held != wanted:
        raise ArtifactError(f"{RANKER} of {release.id} takes {held} columns, this code has {wanted}: export again")
    return lambda inputs: np.asarray(model.run(["logit"], dict(inputs))[0])
