"""A trained two-tower model as arrays, so that training goes on from it: also when users and items have been added."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from typing import Any

import fsspec
import numpy as np

from contracts.artifacts import Zones, fingerprint, read_json, read_manifest
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, OUT_OF_VOCABULARY, query_columns
from train.towers import Shape

FILE = "two_tower.npz"


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model's trainable arrays in the order of its variables, and the widths of its attributes' embeddings."""

    arrays: tuple[np.ndarray, ...]
    widths: Mapping[str, int]


def arrays(model: Any) -> dict[str, np.ndarray]:
    """All that was trained, named by its place and what it is: Keras's own names count the models of a process."""
    return {
        f"{place:02d}_{variable.name.split('/')[-1].split(':')[0]}": variable.numpy()
        for place, variable in enumerate(model.trainable_variables)
    }


def described(config: Config, zones: Zones, shape: Shape) -> dict[str, Any]:
    """For the manifest: what the rows of the tables stand for, and how wide the tables are."""
    columns = [*query_columns(config.features), "item_id", *config.features.item_categorical]
    encodings = read_json(f"{zones.features}/encodings.json")
    codes = {name: [len(encodings[name]), fingerprint(*encodings[name])] for name in columns}
    return {"codes": codes, "widths": {name: shape.width(name) for name in columns}}


def load(zones: Zones, zone: str) -> Trained:
    """The model of a retrieval zone.

    Raises:
        ArtifactError: when today's codes are not its codes with others behind them (decision 0009).
    """
    facts, encodings = read_manifest(zone), read_json(f"{zones.features}/encodings.json")
    for name, (size, mark) in facts["codes"].items():
        if fingerprint(*encodings.get(name, [])[:size]) != mark:
            raise ArtifactError(
                f"{zone}: expected the {size} codes of {name} that it was trained with at the head of "
                f"{zones.features}/encodings.json, which has others: run `python -m train retrieval --refit`"
            )
    with fsspec.open(f"{zone}/{FILE}", "rb") as file:
        held = np.load(io.BytesIO(file.read()), allow_pickle=False)  # pyright: ignore[reportAttributeAccessIssue]
    return Trained(tuple(held[name] for name in sorted(held)), facts["widths"])


def restore(model: Any, trained: Trained) -> None:
    """Set a model's variables; a row that its tables have beyond the trained ones begins as the out-of-vocabulary row.

    That row is what training on hidden ids has taught of somebody, or something, that nothing is known of but what its
    attributes say.

    Raises:
        ArtifactError: when the model is another one.
    """
    known = [np.shape(variable) for variable in model.trainable_variables]
    if [each[1:] for each in known] != [array.shape[1:] for array in trained.arrays]:
        raise ArtifactError(
            f"expected a trained model with arrays like {known}, got {[array.shape for array in trained.arrays]}: "
            "[features] or [train] has changed; run `python -m train retrieval --refit`"
        )
    for variable, array, (rows, *_) in zip(model.trainable_variables, trained.arrays, known):
        new = np.repeat(array[OUT_OF_VOCABULARY:FIRST_VALUE], rows - len(array), axis=0)
        variable.assign(np.concatenate([array, new]))
