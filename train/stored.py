"""Arrays as files of a zone."""

from __future__ import annotations

import io

import fsspec
import numpy as np


def write(zone: str, name: str, content: bytes) -> None:
    """One file of a zone."""
    filesystem, path = fsspec.core.url_to_fs(f"{zone}/{name}")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, content)


def write_array(zone: str, name: str, array: np.ndarray) -> None:
    """An ``npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write(zone, name, buffer.getvalue())


def write_arrays(zone: str, name: str, **arrays: np.ndarray) -> None:
    """An ``npz`` file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write(zone, name, buffer.getvalue())


def drop(zone: str, name: str) -> None:
    """Take a file away that an earlier run left."""
    filesystem, path = fsspec.core.url_to_fs(f"{zone}/{name}")
    if filesystem.exists(path):
        filesystem.rm(path)
