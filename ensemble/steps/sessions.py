"""onnxruntime sessions as serving wants them: one thread, no spinning."""

from __future__ import annotations

import onnxruntime


def session(model: bytes) -> onnxruntime.InferenceSession:
    """An ONNX graph on the CPU.

    Servers share few cores and scale by instances: with two threads that spin, a ranker was 5 to 6 times slower on a
    contended machine.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
