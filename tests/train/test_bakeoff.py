import made_shop
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from contracts.artifacts import exists
from train import bakeoff, tracking


@pytest.fixture(scope="module")
def entry(world, tmp_path_factory):
    """One entry on candidates with a planted preference, as a worker makes it."""
    made_shop.write_candidates(world, np.random.default_rng(11))
    folder = tmp_path_factory.mktemp("bakeoff")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")  # test_tracking.py has the record
        # MLflow's import sets logging up anew, and absl's handler then closes pytest's standard error if it is not the
        # current one: not while the entry's log goes to a file.
        with pytest.raises(Exception, match="nonsense"):
            tracking.connect("nonsense://nowhere")
        found = bakeoff.enter(world.config, world.zones, "dlrm", str(folder), "")
    return found | bakeoff.cost(folder / "dlrm" / "ranker" / "ranker.onnx"), folder


def test_an_entry_is_judged_on_window_c_with_its_interval_and_its_costs(entry):
    found, _ = entry
    low, high = found["interval"]
    assert found["ndcg_at_10_retrieval"] + 0.1 < low < found["ndcg_at_10_ranker"] < high
    assert 0 < found["ece"] < 0.1 and 0 < found["log_loss"] < 0.7
    assert found["samples_per_second"] > 0 and 0 < found["onnx_p50_ms"] <= found["onnx_p95_ms"]
    assert found["bytes"] > 4 * found["parameters"] > 0


def test_it_leaves_the_models_that_serve_as_they_are_and_its_log_in_a_file(world, entry):
    _, folder = entry
    assert exists(f"{folder}/dlrm/ranker/manifest.json")
    assert "epoch 1" in (folder / "dlrm.log").read_text()


def test_parameters_are_the_numbers_of_the_graph(tmp_path):
    """A weight for each of two columns, an offset, and a shape, which is no parameter."""
    weights = [
        numpy_helper.from_array(np.array([[1.0], [2.0]], np.float32), "w"),
        numpy_helper.from_array(np.array([0.5], np.float32), "b"),
        numpy_helper.from_array(np.array([-1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Gemm", ["continuous", "w", "b"], ["sum"]),
        helper.make_node("Reshape", ["sum", "shape"], ["logit"]),
    ]
    inputs = [
        helper.make_tensor_value_info("categorical", onnx.TensorProto.INT64, [None, 1]),
        helper.make_tensor_value_info("continuous", onnx.TensorProto.FLOAT, [None, 2]),
    ]
    output = helper.make_tensor_value_info("logit", onnx.TensorProto.FLOAT, [None])
    graph = helper.make_graph(nodes, "line", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "line.onnx").write_bytes(model.SerializeToString())
    assert bakeoff.cost(tmp_path / "line.onnx")["parameters"] == 3


def test_the_table_is_printed_with_what_there_is(entry, capsys):
    bakeoff.show([entry[0] | {"samples_per_second": None}])
    assert "dlrm" in capsys.readouterr().err
