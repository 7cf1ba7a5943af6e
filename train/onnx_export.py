"""TensorFlow to ONNX: a function with fixed names, checked against TensorFlow before it is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

from contracts.errors import ArtifactError

log = logging.getLogger(__name__)

#: Largest difference from TensorFlow that is put down to float32 rounding.
TOLERANCE = 1e-5
_OPSET = 17


def export(
    function: Callable[..., tf.Tensor],
    inputs: Sequence[tf.TensorSpec],
    output: str,
    samples: Sequence[Mapping[str, np.ndarray]],
    relative: bool = False,
) -> tuple[bytes, float]:
    """Convert and compare.

    Args:
        function: takes the inputs in order and returns one tensor.
        inputs: their names, types and shapes, the batch being ``None``.
        output: the name of the graph's output.
        samples: inputs of several batch sizes, on which both must agree.
        relative: whether differences are divided by 1 + the largest output, for outputs without a bound such as logits.

    Returns:
        The model's bytes and the largest difference found.

    Raises:
        ArtifactError: when the graph differs from TensorFlow by more than ``TOLERANCE``.
    """
    named = tf.function(lambda *values: tf.identity(function(*values), name=output), input_signature=list(inputs))
    model, _ = tf2onnx.convert.from_function(named, input_signature=list(inputs), opset=_OPSET)
    _rename(model, output)
    content = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for sample in samples:
        (got,) = session.run([output], dict(sample))
        expected = named(*(tf.constant(sample[str(spec.name)]) for spec in inputs)).numpy()
        if got.shape != expected.shape or got.dtype != expected.dtype:
            raise ArtifactError(
                f"{output}: expected {expected.dtype} {expected.shape}, ONNX gives {got.dtype} {got.shape}"
            )
        scale = 1.0 + float(np.abs(expected).max(initial=0.0)) if relative else 1.0
        worst = max(worst, float(np.abs(got - expected).max(initial=0.0)) / scale)
    if not worst <= TOLERANCE:
        raise ArtifactError(f"{output}: ONNX differs from TensorFlow by {worst:.2e}, expected at most {TOLERANCE}")
    log.info("%s: ONNX equals TensorFlow within %.1e on %d batches", output, worst, len(samples))
    return content, worst


def _rename(model, output: str) -> None:
    """Give the graph's only output its contract's name; tf2onnx names it after the TensorFlow function."""
    graph = model.graph
    (made,) = graph.output
    old = made.name
    for node in graph.node:
        for i, name in enumerate(node.output):
            if name == old:
                node.output[i] = output
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = output
    made.name = output
