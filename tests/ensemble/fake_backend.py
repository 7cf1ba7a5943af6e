"""The part of ``triton_python_backend_utils`` that shells use, without a server: exists only inside Triton's stub."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping

import numpy as np


class Tensor:
    def __init__(self, name: str, array: np.ndarray):
        assert isinstance(array, np.ndarray)
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError:
    INVALID_ARG, INTERNAL = "INVALID_ARG", "INTERNAL"

    def __init__(self, message: str, code: str):
        self.message, self.code = message, code


class InferenceResponse:
    def __init__(self, tensors: list[Tensor] | None = None, error: TritonError | None = None):
        self.error = error
        self.tensors = {tensor.name(): tensor.as_numpy() for tensor in tensors or []}


class Logger:
    lines: list[str] = []

    @classmethod
    def log_warn(cls, text: str) -> None:
        cls.lines.append(text)

    log_error = log_warn


class Request:
    def __init__(self, **tensors: np.ndarray):
        self.tensors = tensors


def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
    return Tensor(name, request.tensors[name]) if name in request.tensors else None


def strings(*values: str | bytes) -> np.ndarray:
    """STRING ``[b, 1]``, as Triton hands it over."""
    held = [value.encode() if isinstance(value, str) else value for value in values]
    return np.array(held, object).reshape(-1, 1)


def module() -> Mapping[str, types.ModuleType]:
    """What ``sys.modules`` must hold for ``ensemble.triton_io`` to be imported."""
    made = types.ModuleType("triton_python_backend_utils")
    for part in (Tensor, TritonError, InferenceResponse, Logger, get_input_tensor_by_name):
        setattr(made, part.__name__, part)
    return {"triton_python_backend_utils": made}


sys.modules.update(module())
