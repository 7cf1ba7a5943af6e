"""A release is whole or it is refused: what was exported, and what happens when a byte is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.artifacts import Zones, read_json, read_manifest
from contracts.errors import ArtifactError
from ensemble import export, golden, promote
from ensemble.model_config import REPOSITORY, model_names
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.ensemble.made_up import World

DATA = [
    "feature_lookup/1/vocabulary.json",
    "feature_lookup/1/items.npz",
    "feature_lookup/1/buckets.npz",
    "retrieval/1/query_tower.onnx",
    "retrieval/1/item_embeddings.npy",
    "retrieval/1/item_item.npz",
    "ranker/1/ranker.onnx",
]


def test_a_release_is_a_whole_model_repository(release: Release) -> None:
    names = set(release.document["files"])
    assert {*DATA, golden.FILE} <= names
    assert {f"{name}/config.pbtxt" for name in model_names()} <= names
    for name in model_names():
        assert (release.root / name / "1").is_dir(), "Triton wants a version folder, of an ensemble too"
    on_disk = {p.relative_to(release.root).as_posix() for p in release.root.rglob("*") if p.is_file()}
    assert on_disk - {"release.json"} == names, "nothing lies there without a checksum"
    release.verify()


def test_a_release_holds_the_settings_it_was_made_with(release: Release, world: World) -> None:
    assert release.features == world.config.features
    assert release.serve == world.config.serve
    assert release.document["recent_half_life_hours"] == 240.0


def test_triton_repo_is_filled_to_serve_as_it_stands(place: Zones, release: Release) -> None:
    filled = Path(place.root).parent / "repository"
    assert json.loads((filled / "release.json").read_text())["release"] == release.id
    for name in DATA:
        assert (filled / name).read_bytes() == (release.root / name).read_bytes()
    assert not list(filled.rglob("*.partial"))


@pytest.mark.parametrize("name", DATA)
def test_one_flipped_byte_is_refused_when_the_file_is_loaded(damaged: Path, name: str) -> None:
    path = damaged / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"{name} is not what was exported: expected \d+ bytes .* export the rel"):
        Chain(Release.open(damaged))


def test_a_missing_file_and_a_foreign_file_are_named(damaged: Path) -> None:
    (damaged / "ranker/1/ranker.onnx").unlink()
    release = Release.open(damaged)
    with pytest.raises(ArtifactError, match=r"ranker/1/ranker.onnx is missing"):
        release.verify()
    with pytest.raises(ArtifactError, match=r"has no file ../secret"):
        release.read("../secret")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"release": "x"}'])
def test_a_document_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "release.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"release.json is no release document .* export the release again"):
        Release.open(tmp_path)


def test_a_folder_without_a_release_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no release.json: run `python -m ensemble export CONFIG`"):
        Release.open(tmp_path)


def test_a_second_export_of_the_same_inputs_keeps_the_release(place: Zones, world: World, release: Release) -> None:
    facts = export.run(world.config, place)
    assert facts["skipped"] is True
    assert facts["release"] == release.id == read_manifest(place.releases)["release"]


def test_golden_requests_are_answered_as_they_were_at_export(release: Release) -> None:
    entries = release.json(golden.FILE)["requests"]
    assert golden.replay(release) == len(entries) >= 32
    users = {entry["request"].get("user_id") for entry in entries}
    assert {"never-seen", "just-arrived"} <= users
    live = [e for e in entries if 0 < e["as_of"] - e["row"]["last_event_time"] <= 600_000]
    assert len(live) >= 6, "running sessions are among them"


def test_an_answer_that_differs_is_named(release: Release) -> None:
    entries = release.json(golden.FILE)["requests"]

    def swapped(entry: dict) -> dict:
        answer = dict(entry["answer"])
        answer["item_ids"] = [answer["item_ids"][1], answer["item_ids"][0], *answer["item_ids"][2:]]
        return answer

    def worse(entry: dict) -> dict:
        return {**entry["answer"], "scores": [score + 2e-5 for score in entry["answer"]["scores"]]}

    assert golden.compare(release, lambda entry: entry["answer"]) == len(entries)
    with pytest.raises(ArtifactError, match=r"answers golden-0 otherwise .*: item 0 is 'item-\d+', expected 'item-"):
        golden.compare(release, swapped)
    with pytest.raises(ArtifactError, match=r"golden-0 otherwise"):
        golden.compare(release, worse)


def evaluation(place: Zones, release: str, passed: bool, reasons: list[str]) -> None:
    path = Path(place.answers) / "evaluation.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"release": release, "gate": {"passed": passed, "reasons": reasons}}))


def test_only_a_release_that_passed_the_gate_is_promoted(place: Zones, release: Release) -> None:
    current = Path(place.releases) / "current.json"
    with pytest.raises(ArtifactError, match=r"evaluation.json is not there"):
        promote.run(place)
    evaluation(place, release.id, False, ["NDCG@10 .03 is below 1.1 x .04"])
    with pytest.raises(ArtifactError, match=r"was refused by the gate.*\n.*NDCG@10 .03 is below"):
        promote.run(place)
    evaluation(place, "another", True, [])
    with pytest.raises(ArtifactError, match=r"is of release 'another', the candidate is"):
        promote.run(place)
    assert not current.exists()
    evaluation(place, release.id, True, [])
    assert promote.run(place)["promoted"]
    assert read_json(str(current)) == {"release": release.id}


def test_the_repository_holds_only_what_is_committed_and_what_was_exported() -> None:
    known = {"config.pbtxt", "release.json", "golden.json", ".gitkeep", "model.py", *(Path(n).name for n in DATA)}
    found = {p.name for p in REPOSITORY.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert found <= known
