"""``config.pbtxt`` is what the contracts say, and the committed text is what is generated."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto

from contracts.tensors import ENSEMBLES, FUSED, MAX_BATCH_SIZE, SIMILAR, STEPS
from ensemble import model_config
from ensemble.model_config import REPOSITORY


def parsed(name: str) -> proto.ModelConfig:
    return text_format.Parse((REPOSITORY / name / "config.pbtxt").read_text(), proto.ModelConfig())


def test_the_committed_configurations_are_what_the_contracts_say() -> None:
    assert model_config.check(REPOSITORY) == []


def test_a_drifted_and_a_missing_configuration_are_named(tmp_path: Path) -> None:
    model_config.write(tmp_path)
    assert model_config.check(tmp_path) == []
    drifted = tmp_path / "ranker" / "config.pbtxt"
    drifted.write_text(drifted.read_text().replace(f"max_batch_size: {MAX_BATCH_SIZE}", "max_batch_size: 65"))
    (tmp_path / "retrieval" / "config.pbtxt").unlink()
    assert [Path(name).parent.name for name in model_config.check(tmp_path)] == ["retrieval", "ranker"]


@pytest.mark.parametrize("step", (*STEPS, SIMILAR), ids=lambda step: step.name)
def test_a_step_batches_without_waiting_on_one_cpu_instance(step) -> None:
    config = parsed(step.name)
    assert (config.backend, config.max_batch_size) == ("python", MAX_BATCH_SIZE)
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert [(group.kind, group.count) for group in config.instance_group] == [(proto.ModelInstanceGroup.KIND_CPU, 1)]
    assert [(t.name, list(t.dims), t.optional) for t in config.input] == [
        (t.name, list(t.dims), t.optional) for t in step.inputs
    ]


@pytest.mark.parametrize("folder", ["", "native/"], ids=("python", "native"))
@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=lambda ensemble: ensemble.name)
def test_an_ensemble_feeds_every_required_input_from_what_came_before(ensemble, folder: str) -> None:
    steps = (FUSED,) if folder else ensemble.steps
    config = parsed(folder + ensemble.name)
    assert len(config.ensemble_scheduling.step) == len(steps)
    held = {tensor.name for tensor in config.input}
    used: set[str] = set()
    for part, step in zip(config.ensemble_scheduling.step, steps):
        assert part.model_name == step.name
        assert {t.name for t in step.inputs if not t.optional} <= set(part.input_map)
        assert set(part.input_map.values()) <= held
        used |= set(part.input_map.values())
        held |= set(part.output_map.values())
    outputs = {tensor.name for tensor in config.output}
    assert outputs <= held
    assert held == used | outputs, "a mapped output that nobody reads keeps an ensemble from loading"


@pytest.mark.parametrize("folder", ["", "native/"])
def test_golden_rows_cannot_be_sent_through_a_public_ensemble(folder: str) -> None:
    for ensemble in ENSEMBLES:
        assert "golden_row" not in {tensor.name for tensor in parsed(folder + ensemble.name).input}


def test_the_native_model_runs_the_same_steps_by_its_plan() -> None:
    config = parsed("native/recommend")
    assert (config.backend, config.parameters["plan"].string_value) == ("trireme", " ".join(x.name for x in STEPS))
    assert [tensor.name for tensor in config.output] == [tensor.name for tensor in STEPS[-1].outputs]
    names = {tensor.name for tensor in config.input}
    assert names == {tensor.name for step in (STEPS[0], SIMILAR) for tensor in step.inputs}
