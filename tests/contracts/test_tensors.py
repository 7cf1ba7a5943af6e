"""What goes over the wire: the four steps fit together, and the public ensembles are made of them."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.tensors import (
    ENSEMBLES,
    FUSED,
    GOLDEN_ROW,
    REQUEST,
    SIMILAR,
    SIMILAR_REQUEST,
    STEP_BY_NAME,
    STEPS,
    EnsembleSpec,
    StepSpec,
    TensorSpec,
)

ALL = [*STEPS, SIMILAR, *ENSEMBLES]


def signature(tensor: TensorSpec) -> tuple:
    return tensor.dtype, tensor.dims


@pytest.mark.parametrize("step", STEPS[1:], ids=lambda step: step.name)
def test_every_input_of_a_step_is_made_before_it_with_the_same_type_and_shape(step: StepSpec) -> None:
    made: dict[str, TensorSpec] = {}
    for earlier in STEPS[: STEPS.index(step)]:
        for tensor in earlier.outputs:
            assert signature(made.get(tensor.name, tensor)) == signature(tensor), "a name keeps its type"
            made[tensor.name] = tensor
    for tensor in step.inputs:
        assert tensor.name in made, f"{step.name} asks for {tensor.name}, which no step before it makes"
        assert signature(made[tensor.name]) == signature(tensor)
        assert not tensor.optional, "only what a client may leave out is optional"


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=lambda ensemble: ensemble.name)
def test_an_ensemble_takes_what_the_first_step_takes_and_gives_what_a_step_makes(ensemble: EnsembleSpec) -> None:
    first = {tensor.name: signature(tensor) for tensor in ensemble.steps[0].inputs}
    made = {tensor.name: signature(tensor) for step in ensemble.steps for tensor in step.outputs}
    assert {tensor.name: signature(tensor) for tensor in ensemble.inputs}.items() <= first.items()
    assert {tensor.name: signature(tensor) for tensor in ensemble.outputs}.items() <= made.items()


@pytest.mark.parametrize("first", [STEPS[0], SIMILAR, FUSED], ids=lambda step: step.name)
def test_between_them_the_ensembles_feed_every_input_of_their_first_step_but_golden_rows(first: StepSpec) -> None:
    over = [ensemble for ensemble in ENSEMBLES if first in (FUSED, ensemble.steps[0])]
    fed = {tensor.name for ensemble in over for tensor in ensemble.inputs}
    taken = {tensor.name for tensor in first.inputs}
    assert taken - fed == {GOLDEN_ROW.name}, (
        "a raw row comes from the release's own golden requests, never from a client"
    )
    assert fed <= taken
    assert all(tensor.optional for tensor in first.inputs), "each ensemble feeds a part, so every part is optional"


def test_rest_has_ensembles_of_one_input_and_one_output() -> None:
    """Triton takes a raw body for a model of exactly one input."""
    by_name = {ensemble.name: ensemble for ensemble in ENSEMBLES}
    assert by_name["recommendations_json"].inputs == (REQUEST,)
    assert by_name["similar_items_json"].inputs == (SIMILAR_REQUEST,)
    assert {len(by_name[name].outputs) for name in by_name if name.endswith("_json")} == {1}


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
def test_tensors_are_named_once_typed_shaped_and_explained(spec: StepSpec | EnsembleSpec) -> None:
    for tensors in (spec.inputs, spec.outputs):
        names = [tensor.name for tensor in tensors]
        assert len({*names}) == len(names)
        for tensor in tensors:
            assert tensor.dtype in {"STRING", "INT64", "INT32", "FP32"}
            assert tensor.dims and all(size == -1 or size > 0 for size in tensor.dims)
            assert tensor.doc.endswith(".")
    assert spec.doc


def test_models_are_named_once() -> None:
    names = [spec.name for spec in ALL]
    assert len({*names}) == len(names)
    assert list(STEP_BY_NAME) == [step.name for step in (*STEPS, SIMILAR)]
    assert STEPS[-1].outputs[-1].name == "response"


def test_a_specification_cannot_be_changed_by_who_reads_it() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        STEPS[0].name = "x"  # pyright: ignore[reportAttributeAccessIssue]
