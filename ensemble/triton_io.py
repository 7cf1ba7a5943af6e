"""Between Triton and ``ensemble/serving.py``: the only module that knows ``triton_python_backend_utils``.

A batch of requests becomes one call: requests are read and prepared one by one, joined, run, and split again. When the
joined run fails, each request runs alone; one that fails alone is answered degraded. When it took too long, all are
answered degraded at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]

from contracts import metrics
from contracts.errors import RequestError, StackError
from contracts.metrics import Metric
from contracts.stack import stack_settings
from contracts.tensors import GRAPH, OUTPUTS, SIMILAR, STEP_BY_NAME, STEPS
from ensemble.budget import LEAST_MS, LEAST_MS_TO_ANSWER, Budgeted, OverrunError, Step
from ensemble.faults import Faults
from ensemble.serving import Tensors
from ensemble.steps.graphs import Graph
from ensemble.steps.release import Release

#: Rows that a step runs at a time.
_ROWS = 64


def open_release(args: Mapping[str, str]) -> Release:
    """The release that a model of the repository belongs to, by what Triton hands to ``initialize``."""
    return Release.open(Path(args["model_repository"]).parent)


def budgeted(name: str, step: Step) -> Budgeted:
    """A step under its requests' budget; how many of its threads hang stands on Triton's metrics page."""
    answers = name in (STEPS[-1].name, SIMILAR.name)
    faults = Faults(stack_settings().fault, name)
    return Budgeted(name, step, HungThreads(name), faults, least_ms=LEAST_MS_TO_ANSWER if answers else LEAST_MS)


def graph(args: Mapping[str, str]) -> Graph | None:
    """The graph of a step that another model of this server runs, if the step's config.pbtxt names one."""
    named = json.loads(args["model_config"])["parameters"].get(GRAPH)
    return RemoteGraph(named["string_value"]) if named else None


class RemoteGraph:
    """A graph as a model of its own, which batches the calls of all instances of a step (``gpu_repository``)."""

    def __init__(self, model: str):
        self._model = model

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The graph's one output, in this process's memory.

        Raises:
            StackError: when the model fails; the step then degrades as for any other error.
        """
        output = OUTPUTS[self._model]
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=[output],
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in inputs.items()],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise StackError(f"{self._model}: {response.error().message()}")
        return pb_utils.get_output_tensor_by_name(response, output).as_numpy()


def execute(requests: Sequence[Any], name: str, step: Step) -> list[Any]:
    """Answer a batch of Triton requests: as many responses, in their order."""
    responses: list[Any] = [None] * len(requests)
    batches: dict[int, Tensors] = {}
    for position, request in enumerate(requests):
        try:
            batches[position] = step.prepare(_read(request, name))
        except Exception as error:
            responses[position] = _failure(name, error)
    if batches:
        try:
            joined = {key: np.concatenate([batch[key] for batch in batches.values()]) for key in _keys(batches)}
            outputs = _run(step, joined)
            start = 0
            for position, batch in batches.items():
                end = start + _rows(batch)
                responses[position] = _response(step.finish({key: value[start:end] for key, value in outputs.items()}))
                start = end
        except Exception as error:
            if len(batches) == 1 or isinstance(error, OverrunError):
                for position, batch in batches.items():
                    responses[position] = _degraded(name, step, batch, error)
            else:
                pb_utils.Logger.log_warn(f"{name}: {len(batches)} requests together: {type(error).__name__}: {error}")
                for position, batch in batches.items():
                    responses[position] = _alone(name, step, batch)
    return responses


def _run(step: Step, batch: Tensors) -> Tensors:
    """All rows of a batch, not too many at a time: on the way each needs scores of the whole catalogue."""
    parts = [
        step.run({key: value[start : start + _ROWS] for key, value in batch.items()})
        for start in range(0, _rows(batch), _ROWS)
    ]
    return parts[0] if len(parts) == 1 else {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _alone(name: str, step: Step, batch: Tensors) -> Any:
    """One request by itself: served, or degraded."""
    try:
        return _response(step.finish(_run(step, batch)))
    except Exception as error:
        return _degraded(name, step, batch, error)


def _degraded(name: str, step: Step, batch: Tensors, error: Exception) -> Any:
    pb_utils.Logger.log_error(f"{name}: degraded by {type(error).__name__}: {error}")
    try:
        return _response(step.finish(step.degrade(batch, error)))
    except Exception as worse:
        return _failure(name, worse)


def _read(request: Any, name: str) -> Tensors:
    """A request's tensors by name; optional ones may be absent."""
    tensors = {}
    for spec in STEP_BY_NAME[name].inputs:
        tensor = pb_utils.get_input_tensor_by_name(request, spec.name)
        if tensor is not None:
            tensors[spec.name] = tensor.as_numpy()
    return tensors


def _keys(batches: Mapping[int, Tensors]) -> list[str]:
    return list(next(iter(batches.values())))


def _rows(batch: Tensors) -> int:
    return len(next(iter(batch.values())))


def _response(outputs: Tensors) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])


def _failure(name: str, error: Exception) -> Any:
    """A request's own error: the caller's fault is INVALID_ARG, which Triton answers with 400."""
    if isinstance(error, RequestError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
    pb_utils.Logger.log_error(f"{name}: {type(error).__name__}: {error}")
    text = f"{name}: {type(error).__name__}: {error}"
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.INTERNAL))


class Family:
    """A metric of ``contracts.metrics`` on Triton's page, by the value of its label."""

    def __init__(self, metric: Metric, values: Iterable[str] = ("",)):
        kind = getattr(pb_utils.MetricFamily, metric.kind.upper())
        # The family is kept: a metric whose family was collected as garbage raises at its next use.
        self._family = pb_utils.MetricFamily(name=metric.name, description=metric.doc, kind=kind)
        wishes: dict[str, Any] = {"buckets": list(metric.bounds)} if metric.bounds else {}
        self._metrics = {
            value: self._family.Metric(labels={metric.label: value} if metric.label else {}, **wishes)
            for value in values
        }

    def add(self, number: float = 1, value: str = "") -> None:
        """Count; ``value`` is the label's."""
        self._metrics[value].increment(number)

    def set(self, number: float, value: str = "") -> None:
        """Of a gauge."""
        self._metrics[value].set(number)

    def observe(self, number: float, value: str = "") -> None:
        """Add to a histogram."""
        self._metrics[value].observe(number)


class HungThreads:
    """A gauge on Triton's metrics page: threads of a step that overran and have not come back."""

    def __init__(self, stage: str):
        self._gauge, self._stage = Family(metrics.HUNG, (stage,)), stage
        self._told = 0
        self._gauge.set(0, stage)

    def __call__(self, number: int) -> None:
        """Say how many; cheap where nothing has changed."""
        if number != self._told:
            self._told = number
            self._gauge.set(number, self._stage)
