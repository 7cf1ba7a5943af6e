"""Between Triton and ``ensemble/serving.py``: the only module that knows ``triton_python_backend_utils``.

A batch of requests becomes one call: requests are read and prepared one by one, joined, run, and split again. When the
joined run fails, each request runs alone; one that fails alone is answered degraded.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]

from contracts import metrics
from contracts.errors import RequestError, StackError
from contracts.impressions import DROPPED
from contracts.metrics import Metric
from contracts.requests import Source
from contracts.stack import stack_settings
from contracts.tensors import GRAPH, OUTPUTS, STEP_BY_NAME
from ensemble.impression_log import ImpressionLog
from ensemble.impressions import Impressions, OfItem, Passage
from ensemble.serving import Tensors
from ensemble.steps.graphs import Graph
from ensemble.steps.popularity import Popularity
from ensemble.steps.ranker import RankerFeatures
from ensemble.steps.release import Release
from ensemble.steps.tables import Tables


class Step(Protocol):
    """A step of ``ensemble/serving.py``."""

    def prepare(self, tensors: Tensors) -> Tensors:
        """Check one request's inputs; arrays with a batch dimension."""
        ...

    def run(self, batch: Tensors) -> Tensors:
        """Serve all of a batch."""
        ...

    def degrade(self, batch: Tensors, error: Exception) -> Tensors:
        """Serve a batch that cannot be run."""
        ...

    def finish(self, outputs: Tensors) -> Tensors:
        """One request's outputs as the model's tensors."""
        ...


def open_release(args: Mapping[str, str]) -> Release:
    """The release that a model of the repository belongs to, by what Triton hands to ``initialize``."""
    return Release.open(Path(args["model_repository"]).parent)


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
            outputs = step.run(joined)
            start = 0
            for position, batch in batches.items():
                end = start + _rows(batch)
                responses[position] = _response(step.finish({key: value[start:end] for key, value in outputs.items()}))
                start = end
        except Exception as error:
            if len(batches) == 1:
                ((position, batch),) = batches.items()
                responses[position] = _degraded(name, step, batch, error)
            else:
                pb_utils.Logger.log_warn(f"{name}: {len(batches)} requests together: {type(error).__name__}: {error}")
                for position, batch in batches.items():
                    responses[position] = _alone(name, step, batch)
    return responses


def _alone(name: str, step: Step, batch: Tensors) -> Any:
    """One request by itself: served, or degraded."""
    try:
        return _response(step.finish(step.run(batch)))
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


def impression_log(tables: Tables, popularity: Popularity) -> ImpressionLog | None:
    """The way to the publisher of impressions, where the environment names one."""
    path = stack_settings().impressions
    return ImpressionLog(path, Impressions(tables, RankerFeatures(tables, popularity))) if path else None


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


class Measured:
    """``execute`` of a step, with how many requests its batches have and how long they take."""

    def __init__(self, name: str, step: Step):
        self._name, self._step = name, step
        self._batch = Family(metrics.BATCH, (name,))
        self._seconds = Family(metrics.STAGE_SECONDS, (name,))

    def __call__(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch."""
        started = time.perf_counter()
        responses = execute(requests, self._name, self._step)
        self._seconds.observe(time.perf_counter() - started, self._name)
        self._batch.observe(len(requests), self._name)
        return responses


class Answered:
    """What is done of every answer when it is made: it is counted, and its impression logged."""

    def __init__(self, release: str, item_state_age_seconds: Callable[[], float], log: ImpressionLog | None):
        self._release, self._log = release, log
        self._item_state_age_seconds = item_state_age_seconds
        self._item_state_age = Family(metrics.ITEM_STATE_AGE, (release,))
        self._answers = Family(metrics.ANSWERS, (release,))
        self._items = Family(metrics.ITEMS, (Source.PERSONAL, Source.SIMILAR, Source.TRENDING))
        self._skipped = Family(metrics.SKIPPED, STEP_BY_NAME)
        self._degraded = Family(metrics.DEGRADED, (*metrics.REASONS.values(), metrics.FAILURE))
        self._age = Family(metrics.FEATURE_AGE)
        self._sent = Family(metrics.SENT)
        self._dropped = Family(metrics.DROPPED, DROPPED)

    def __call__(self, passage: Passage | OfItem) -> None:
        """Count one answer, and hand it to the log, which counts by itself: that is told at the next answer."""
        answer = passage.answer
        self._answers.add(1, self._release)
        self._item_state_age.set(self._item_state_age_seconds(), self._release)
        for source, number in Counter(answer.sources).items():
            self._items.add(number, source)
        for skipped in answer.skipped:
            self._skipped.add(1, skipped["stage"])
            self._degraded.add(1, metrics.degraded_by(skipped["reason"]))
        if answer.feature_age_ms >= 0:
            self._age.observe(answer.feature_age_ms / 1000)
        if self._log:
            self._log(passage)
            for what, number in self._log.counts().items():
                self._sent.add(number) if what == "sent" else self._dropped.add(number, what)

    def close(self) -> None:
        """End the log."""
        if self._log:
            self._log.close()
