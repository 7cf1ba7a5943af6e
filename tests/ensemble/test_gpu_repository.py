"""The repository for GPUs, as far as a CPU can show it: configurations, and recorded requests through its parts.

No server here has an onnxruntime backend: in the real tritonserver a python model of the same name, tensors and graph
stands in for it, so that everything but CUDA's half runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import helper
from tritonclient.grpc import model_config_pb2 as proto

from contracts.errors import ArtifactError
from contracts.tensors import OUTPUTS
from deploy.tritonserver import launch
from ensemble import golden, golden_triton, gpu_repository
from ensemble.model_config import NATIVE
from ensemble.steps.chain import Chain
from ensemble.steps.graphs import session
from ensemble.steps.ranker import Ranker, RankerFeatures
from ensemble.steps.release import Release
from ensemble.steps.retrieval import Retrieval
from tests.ensemble.servers import Server
from tests.running import free_port_base, process, wait_until

#: Stands where the onnxruntime backend would: the very graph, on the CPU.
STAND_IN = """
import json
import pathlib
import onnxruntime
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        folder = pathlib.Path(args["model_repository"]) / args["model_version"]
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        config = json.loads(args["model_config"])
        self._inputs = [one["name"] for one in config["input"]]
        self._output = config["output"][0]["name"]

    def execute(self, requests):
        if pathlib.Path("BROKEN").exists():
            raise RuntimeError("no kernel image is available")
        answers = []
        for request in requests:
            held = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            (made,) = self._session.run([self._output], held)
            tensor = pb_utils.Tensor(self._output, made.reshape(len(made), -1))
            answers.append(pb_utils.InferenceResponse([tensor]))
        return answers
"""


@pytest.fixture(scope="module")
def repository(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "repository"
    gpu_repository.write(release, folder, gpus=2, tensorrt=True)
    return folder


def config_of(repository: Path, name: str) -> proto.ModelConfig:
    return text_format.Parse((repository / name / "config.pbtxt").read_text(), proto.ModelConfig())


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_graph_is_a_model_with_an_instance_on_each_gpu(repository: Path, name: str) -> None:
    config = config_of(repository, name)
    (group,) = config.instance_group
    assert (config.backend, group.kind, list(group.gpus)) == ("onnxruntime", proto.ModelInstanceGroup.KIND_GPU, [0, 1])
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, accelerator.parameters["precision_mode"]) == ("tensorrt", "FP32")
    assert config.HasField("dynamic_batching")
    graph = session((repository / name / "1" / "model.onnx").read_bytes())
    kinds = {"TYPE_INT64": "tensor(int64)", "TYPE_FP32": "tensor(float)"}
    said = {one.name: (list(one.dims), kinds[proto.DataType.Name(one.data_type)]) for one in config.input}
    assert said == {one.name: (one.shape[1:], one.type) for one in graph.get_inputs()}
    (output,) = config.output
    taken = next(one for one in graph.get_outputs() if one.name == output.name)
    shape = [] if output.HasField("reshape") else list(output.dims)
    assert [size if isinstance(size, int) else -1 for size in taken.shape[1:]] == shape


def test_the_widest_batch_of_a_step_fits_into_one_call_of_its_graph(repository: Path, chain: Chain) -> None:
    most = config_of(repository, "retrieval").max_batch_size
    assert config_of(repository, "two_tower").max_batch_size == most
    assert config_of(repository, "ranker_graph").max_batch_size == most * chain.retrieval.width


def test_it_is_a_whole_release_without_what_only_cpus_use(repository: Path, release: Release) -> None:
    made = Release.open(repository)
    made.verify()
    assert (made.id, (repository / NATIVE).exists()) == (release.id, False)
    with pytest.raises(ArtifactError, match="is there already"):
        gpu_repository.write(release, repository, gpus=1)


def test_a_server_has_at_least_one_gpu(release: Release, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="expected at least one GPU, got 0"):
        gpu_repository.write(release, tmp_path / "none", gpus=0)


def test_trees_stay_on_the_cpu_as_nothing_runs_them_on_a_gpu() -> None:
    types = [helper.make_tensor_value_info("continuous", onnx.TensorProto.FLOAT, ["n", 2])]
    made = [helper.make_tensor_value_info("logit", onnx.TensorProto.FLOAT, ["n"])]
    node = helper.make_node("TreeEnsembleRegressor", ["continuous"], ["logit"], domain="ai.onnx.ml")
    model = helper.make_model(helper.make_graph([node], "trees", types, made))
    (group,) = gpu_repository.graph_config("ranker_graph", model, 8, gpus=2, tensorrt=True).instance_group
    assert group.kind == proto.ModelInstanceGroup.KIND_CPU


def test_recorded_requests_through_its_graphs_are_answered_as_recorded(repository: Path) -> None:
    release = Release.open(repository)
    chain = Chain(release)
    towers, ranker = (run_by(repository / name / "1" / "model.onnx", name) for name in OUTPUTS)
    chain.retrieval = Retrieval(chain.tables, chain.popularity, release, towers)
    chain.ranker = Ranker(RankerFeatures(chain.tables, chain.popularity), release, ranker)
    assert golden.compare(release, golden.in_process(chain)) >= 32


def run_by(model: Path, name: str) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    graph = session(model.read_bytes())
    return lambda inputs: np.asarray(graph.run([OUTPUTS[name]], dict(inputs))[0])


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """The repository in tritonserver, without Redis: recorded requests bring their rows along."""
    for name in OUTPUTS:
        config = config_of(repository, name)
        config.backend = "python"
        config.ClearField("optimization")
        config.ClearField("instance_group")
        config.instance_group.add(count=1, kind=proto.ModelInstanceGroup.KIND_CPU)
        broken = repository.parent / f"{name}-is-broken"
        (repository / name / "config.pbtxt").write_text(text_format.MessageToString(config))
        (repository / name / "1" / "model.py").write_text(STAND_IN.replace("BROKEN", str(broken)))
    folder, base = tmp_path_factory.mktemp("triton"), free_port_base()
    made = Server(base, base + 1, base + 2, base + 3)
    started = launch(repository, folder / "backends", http=made.http, grpc=made.grpc, metrics=made.metrics)
    argv = [*started.argv, *(f"--load-model={name}" for name in OUTPUTS)]
    env = {**started.full_env(), "TRIREME_REDIS": f"127.0.0.1:{made.redis}"}
    with process(argv, folder / "triton.log", env):
        ready: Callable[[], bool] = lambda: made.get(made.http, "/v2/health/ready")[0] == 200  # noqa: E731
        wait_until(ready, "tritonserver", folder / "triton.log", seconds=60)
        yield made, repository.parent


@pytest.mark.integration
def test_recorded_requests_cross_to_the_graphs_models_and_back(server: tuple[Server, Path], repository: Path) -> None:
    assert golden_triton.replay(Release.open(repository), f"127.0.0.1:{server[0].grpc}") >= 32


@pytest.mark.integration
@pytest.mark.parametrize(("name", "stage"), [("two_tower", "retrieval"), ("ranker_graph", "ranker")])
def test_a_graph_that_fails_costs_its_step_and_not_the_answer(
    server: tuple[Server, Path], name: str, stage: str
) -> None:
    asked, folder = server
    (folder / f"{name}-is-broken").touch()
    try:
        status, body = asked.post(json.dumps({"user_id": "nobody", "k": 5}).encode())
    finally:
        (folder / f"{name}-is-broken").unlink()
    answer = json.loads(body)
    assert (status, len(answer["item_ids"])) == (200, 5)
    reasons = {one["stage"]: one["reason"] for one in answer["skipped"]}
    assert name in reasons[stage] and "no kernel image" in reasons[stage]
