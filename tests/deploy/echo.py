"""A model repository with the public names and tensors of the contract, whose answers say only what came in."""

from __future__ import annotations

from pathlib import Path

from contracts.tensors import ENSEMBLES, EnsembleSpec, TensorSpec

_MODEL = """
import json
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        given = {t.name(): t.as_numpy().reshape(-1)[0] for t in request.inputs()}
        for name in given.keys() & {"request", "similar_request"}:
            try:
                given = json.loads(given[name])
            except ValueError as error:
                return self._refuse(f"body: expected a JSON object, got {error}")
        user = given.get("user_id", given.get("item_id", ""))
        user = user.decode() if isinstance(user, bytes) else user
        if not user:
            return self._refuse('user_id: expected a non-empty "string"')
        if user == "broken":
            raise RuntimeError("this user breaks the model")
        whose = "item_id" if "item_id" in given else "user_id"
        body = json.dumps({whose: user, "model": "NAME", "padding": "x" * int(given.get("k", 0))})
        outputs = {
            "item_ids": np.array([["item-1", "item-2"]], np.object_), "scores": np.array([[1, 0.5]], np.float32),
            "sources": np.array([["trending"] * 2], np.object_), "release": np.array([["echo"]], np.object_),
            "response": np.array([[body]], np.object_),
        }
        return pb.InferenceResponse([pb.Tensor(name, outputs[name]) for name in OUTPUTS])

    def _refuse(self, why):
        return pb.InferenceResponse([], pb.TritonError(why, pb.TritonError.INVALID_ARG))
"""


def write_echo_repository(folder: Path) -> Path:
    for ensemble in (*ENSEMBLES, EnsembleSpec("secret_step", "", *(ENSEMBLES[1].inputs, ENSEMBLES[1].outputs))):
        version = folder / ensemble.name / "1"
        version.mkdir(parents=True)
        names = [tensor.name for tensor in ensemble.outputs]
        source = _MODEL.replace("NAME", ensemble.name).replace("OUTPUTS", repr(names))
        (version / "model.py").write_text(source, encoding="utf-8")
        config = [f'name: "{ensemble.name}"', 'backend: "python"', "max_batch_size: 8"]
        config += [_tensor("input", tensor) for tensor in ensemble.inputs]
        config += [_tensor("output", tensor) for tensor in ensemble.outputs]
        config.append("instance_group: [ { count: 1, kind: KIND_CPU } ]")
        (folder / ensemble.name / "config.pbtxt").write_text("\n".join(config), encoding="utf-8")
    return folder


def _tensor(kind: str, tensor: TensorSpec) -> str:
    optional = ", optional: true" if tensor.optional else ""
    dtype = f"TYPE_{tensor.dtype}"
    return f'{kind} [ {{ name: "{tensor.name}", data_type: {dtype}, dims: {list(tensor.dims)}{optional} }} ]'
