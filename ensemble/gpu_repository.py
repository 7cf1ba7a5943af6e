"""A release as a model repository for GPUs: its two graphs as models of Triton's onnxruntime backend.

The python steps stay what they are: each hands its graph's inputs to that model instead of running it, and degrades as
ever when the model fails. Without a GPU nothing of onnxruntime's CUDA or TensorRT half can be tried: what a CPU can
show is shown (tests/ensemble/test_gpu_repository.py), and no more is claimed.
"""
# Generated protobuf modules make their classes at import, out of pyright's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf import text_format
from onnx import numpy_helper
from tritonclient.grpc import model_config_pb2 as proto

from contracts.artifacts import write_json
from contracts.errors import ArtifactError
from contracts.tensors import GRAPH, MAX_BATCH_SIZE, OUTPUTS
from ensemble.assemble import checksums
from ensemble.model_config import NATIVE
from ensemble.steps.graphs import ITEM_EMBEDDINGS, QUERY_TOWER, RANKER
from ensemble.steps.release import DOCUMENT, Release
from ensemble.steps.retrieval import candidates_width
from ensemble.steps.tables import load

#: Step -> the model that runs its graph.
GRAPHS = {"retrieval": "two_tower", "ranker": "ranker_graph"}
#: Operators of this domain (trees, among others) have no CUDA kernel in onnxruntime.
_ON_CPU_ONLY = "ai.onnx.ml"


def write(release: Release, target: Path, gpus: int, tensorrt: bool = False) -> dict[str, Any]:
    """Write the repository into a folder that is not there yet; by graph, the kind of its instances.

    Args:
        release: it is copied, but for the ensembles of the C++ backend.
        target: the folder.
        gpus: how many the server has; every graph gets an instance on each.
        tensorrt: let TensorRT run what it can; its engines are made at the server's start, which takes minutes.

    Raises:
        ArtifactError: when the folder is there, or the release cannot be served so.
    """
    if gpus < 1:
        raise ArtifactError(f"expected at least one GPU, got {gpus}")
    if target.exists():
        raise ArtifactError(f"{target} is there already; name a folder that is not, or remove it")
    shutil.copytree(release.root, target, ignore=shutil.ignore_patterns(NATIVE))
    rows = {"two_tower": MAX_BATCH_SIZE, "ranker_graph": MAX_BATCH_SIZE * candidates_width(load(release))}
    kinds = {}
    for step, name in GRAPHS.items():
        model = two_tower(release) if name == "two_tower" else onnx.load_model_from_string(release.read(RANKER))
        config = graph_config(name, model, rows[name], gpus, tensorrt)
        (target / name / "1").mkdir(parents=True)
        onnx.save_model(model, str(target / name / "1" / "model.onnx"))
        _write_config(target / name, config)
        _name_graph(target / step, name)
        kinds[name] = proto.ModelInstanceGroup.Kind.Name(config.instance_group[0].kind)
    write_json(str(target / DOCUMENT), {**release.document, "files": checksums(target)})
    return {"release": release.id, "target": "gpu", "graphs": kinds}


def two_tower(release: Release) -> onnx.ModelProto:
    """The query tower with the product with every item behind it: one graph from codes to scores ``[b, items]``."""
    model = onnx.load_model_from_string(release.read(QUERY_TOWER))
    items = release.array(ITEM_EMBEDDINGS)
    (embedding,) = (output for output in model.graph.output if output.name == "query_embedding")
    transposed = np.ascontiguousarray(items.T)
    model.graph.initializer.append(numpy_helper.from_array(transposed, "item_embeddings"))
    scores = OUTPUTS["two_tower"]
    model.graph.node.append(onnx.helper.make_node("MatMul", [embedding.name, "item_embeddings"], [scores]))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(scores, onnx.TensorProto.FLOAT, ["b", len(items)]))
    onnx.checker.check_model(model)
    return model


def graph_config(name: str, model: onnx.ModelProto, rows: int, gpus: int, tensorrt: bool) -> proto.ModelConfig:
    """``config.pbtxt`` of a graph; its tensors are read off the graph, whose first dimension is the batch."""
    config = proto.ModelConfig(name=name, backend="onnxruntime", max_batch_size=rows)
    given = {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.input:
        if tensor.name not in given:
            config.input.add(name=tensor.name, data_type=_data_type(tensor), dims=_dims(tensor))
    for tensor in model.graph.output:
        if tensor.name == OUTPUTS[name]:
            made = config.output.add(name=tensor.name, data_type=_data_type(tensor), dims=_dims(tensor) or [1])
            if not _dims(tensor):
                # One number a row: Triton knows no tensor without a dimension and has to be told of the difference.
                made.reshape.CopyFrom(proto.ModelTensorReshape())
    if not config.output:
        raise ArtifactError(f"{name}: expected a graph with an output {OUTPUTS[name]}")
    config.dynamic_batching.max_queue_delay_microseconds = 0
    kind = proto.ModelInstanceGroup
    if any(node.domain == _ON_CPU_ONLY for node in model.graph.node):
        config.instance_group.add(count=1, kind=kind.KIND_CPU)
        return config
    config.instance_group.add(count=1, kind=kind.KIND_GPU, gpus=range(gpus))
    if tensorrt:
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
        # Half the bits would answer otherwise than the release was judged by.
        accelerator.parameters["precision_mode"] = "FP32"
        accelerator.parameters["max_workspace_size_bytes"] = str(1 << 30)
    return config


def _data_type(tensor: onnx.ValueInfoProto) -> int:
    name = onnx.TensorProto.DataType.Name(onnx.TensorProto.DataType.ValueType(tensor.type.tensor_type.elem_type))
    return proto.DataType.Value({"FLOAT": "TYPE_FP32"}.get(name, f"TYPE_{name}"))


def _dims(tensor: onnx.ValueInfoProto) -> Sequence[int]:
    return [one.dim_value or -1 for one in tensor.type.tensor_type.shape.dim][1:]


def _name_graph(folder: Path, graph: str) -> None:
    """Tell a step in its configuration which model runs its graph."""
    config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), proto.ModelConfig())
    config.parameters[GRAPH].string_value = graph
    _write_config(folder, config)


def _write_config(folder: Path, config: proto.ModelConfig) -> None:
    text = f"# Generated by `python -m ensemble repository`; do not edit.\n{text_format.MessageToString(config)}"
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
