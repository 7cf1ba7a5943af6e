"""Golden requests against a running tritonserver: by its steps over gRPC, since their rows enter after the Redis read.

Only for the private port of an instance: Envoy lets no client name a step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from contracts.errors import StackError
from contracts.requests import MAX_DEADLINE_MS
from contracts.tensors import FUSED, GOLDEN_ROW, REQUEST, SIMILAR, SIMILAR_REQUEST, STEPS, StepSpec
from ensemble import golden
from ensemble.steps.release import Release

_TIMEOUT_SECONDS = 10.0


def replay(release: Release, address: str) -> int:
    """Answer a release's golden requests by the server at ``host:port``, whichever models it runs; how many there are.

    Raises:
        ArtifactError: naming the first that is answered otherwise.
        StackError: when the server fails or serves another release.
    """
    client = grpc.InferenceServerClient(address)
    try:
        native = client.is_model_ready(FUSED.name)

        def answer(entry: Mapping[str, Any]) -> dict[str, Any]:
            steps = (FUSED,) if native else (SIMILAR,) if golden.of_an_item(entry) else STEPS
            return _answer(client, release.id, entry, steps)

        return golden.compare(release, answer)
    except InferenceServerException as error:
        raise StackError(f"tritonserver at {address} does not answer golden requests: {error}") from None
    finally:
        client.close()


def _answer(
    client: grpc.InferenceServerClient, release: str, entry: Mapping[str, Any], steps: Sequence[StepSpec]
) -> dict[str, Any]:
    """One golden request through the steps, as the ensemble would pass it on."""
    body = SIMILAR_REQUEST if golden.of_an_item(entry) else REQUEST
    # What is proved is what is answered, not how soon: a server that has just started on a busy machine is slow.
    request = {**entry["request"], "deadline_ms": MAX_DEADLINE_MS}
    held = {
        body.name: _text(json.dumps(request)),
        GOLDEN_ROW.name: _text(json.dumps({"row": entry["row"], "as_of": entry["as_of"]})),
    }
    for step in steps:
        inputs = []
        for spec in step.inputs:
            if spec.name in held:
                tensor = grpc.InferInput(spec.name, list(held[spec.name].shape), _wire_type(spec.dtype))
                inputs.append(tensor.set_data_from_numpy(held[spec.name]))
        result = client.infer(step.name, inputs, client_timeout=_TIMEOUT_SECONDS)
        assert result is not None
        for spec in step.outputs:
            made = result.as_numpy(spec.name)
            assert made is not None, f"{step.name} answered without {spec.name}"
            held[spec.name] = made
    answer = json.loads(held["response"][0, 0])
    if answer["release"] != release:
        raise StackError(f"the server serves release {answer['release']}, not {release}")
    return answer


def _wire_type(dtype: str) -> str:
    """The name of a type in requests; only strings have another than in configurations."""
    return "BYTES" if dtype == "STRING" else dtype


def _text(text: str) -> np.ndarray:
    return np.array([[text.encode()]], object)
