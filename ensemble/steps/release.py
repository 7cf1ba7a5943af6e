"""A release on disk: a whole Triton model repository with ``release.json``, read file by file against its checksums."""

from __future__ import annotations

import hashlib
import io
import json
import math
import mmap
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contracts.config import FeatureSettings
from contracts.errors import ArtifactError
from contracts.model_settings import ServeSettings

DOCUMENT = "release.json"

Data = bytes | mmap.mmap


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
        return bytes(self._checked(name, Path.read_bytes))

    def _checked(self, name: str, held: Callable[[Path], Data]) -> Data:
        expected = self.document["files"].get(name)
        if expected is None:
            raise ArtifactError(f"release {self.id} has no file {name}; it has {', '.join(self.document['files'])}")
        try:
            data = held(self.root / name)
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
        """An ``npy`` file, which cannot be written to: it lies where the kernel keeps the file (``_mapped``)."""
        return _array(self._checked(name, _mapped), 0)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The same of the members of an ``npz`` file."""
        data: Any = self._checked(name, _mapped)  # a mapping is a file too
        with zipfile.ZipFile(data) as archive:
            members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ArtifactError(f"release {self.id}: {name} is compressed; export the release again")
        return {one.filename.removesuffix(".npy"): _array(data, _start(data, one)) for one in members}

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


def _mapped(path: Path) -> Data:
    """A file's bytes without a copy of one's own: what several processes hold of a release lies in memory once.

    A file that is cut short afterwards kills who reads it, so releases are never written in place.
    """
    with path.open("rb") as file:
        # Of an empty file there is no mapping.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _start(data: Data, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: after its header of 30 bytes, its name and its extra field."""
    name, extra = struct.unpack_from("<HH", data, member.header_offset + 26)
    return member.header_offset + 30 + name + extra


def _array(data: Data, start: int) -> np.ndarray:
    """The array of the npy format that begins at a place.

    Raises:
        ValueError: when there is none, or one of Python's objects.
    """
    header = io.BytesIO(data[start : start + (1 << 16)])
    if np.lib.format.read_magic(header) != (1, 0):
        raise ValueError("expected an array in version 1.0 of the npy format")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(header)
    held = np.frombuffer(data, dtype, math.prod(shape), start + header.tell())
    # What lies athwart is copied once: numpy would at every use.
    return (held if held.flags.aligned else held.copy()).reshape(shape, order="F" if by_column else "C")
