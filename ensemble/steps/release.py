"""A release on disk: a whole Triton model repository with ``release.json``, read file by file against its checksums."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contracts.config import FeatureSettings
from contracts.errors import ArtifactError
from contracts.model_settings import ServeSettings

DOCUMENT = "release.json"


class Release:
    """One release; every file that is read through it is checked first."""

    def __init__(self, root: Path, document: Mapping[str, Any]):
        self.root = root
        self.document = document
        self.id: str = document["release"]
        self.features = FeatureSettings(**_tuples(document["features"]))
        self.serve = ServeSettings(**document["serve"])

    @classmethod
    def open(cls, root: str | Path) -> Release:
        """A release by its folder.

        Raises:
            ArtifactError: when the folder holds no release.
        """
        path = Path(root) / DOCUMENT
        try:
            return cls(Path(root), json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise ArtifactError(
                f"expected a release in {root}, but there is no {DOCUMENT}: run `python -m ensemble export CONFIG`"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is no release document ({error!r}): export the release again") from None

    def read(self, name: str) -> bytes:
        """The bytes of a file, by its path within the release.

        Raises:
            ArtifactError: when the file is not part of the release, is missing, or is not what was exported.
        """
        expected = self.document["files"].get(name)
        if expected is None:
            raise ArtifactError(f"release {self.id} has no file {name}; it has {', '.join(self.document['files'])}")
        try:
            data = (self.root / name).read_bytes()
        except FileNotFoundError:
            raise ArtifactError(f"release {self.id}: {name} is missing; copy or export the release again") from None
        found = hashlib.sha256(data).hexdigest()
        if found != expected["sha256"]:
            raise ArtifactError(
                f"release {self.id}: {name} is not what was exported: expected {expected['bytes']} bytes with sha256 "
                f"{expected['sha256'][:12]}, got {len(data)} with {found[:12]}; copy or export the release again"
            )
        return data

    def json(self, name: str) -> Any:
        """A JSON file."""
        return json.loads(self.read(name))

    def array(self, name: str) -> np.ndarray:
        """An ``npy`` file."""
        return np.load(io.BytesIO(self.read(name)), allow_pickle=False)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """An ``npz`` file."""
        with np.load(io.BytesIO(self.read(name)), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    def verify(self) -> None:
        """Read and check every file.

        Raises:
            ArtifactError: naming the first that is not what was exported.
        """
        for name in self.document["files"]:
            self.read(name)


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples; settings hold nothing else."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in document.items()}
