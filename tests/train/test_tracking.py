import dataclasses
import logging
import socket
import subprocess
import time
from pathlib import Path

import pytest

from contracts.artifacts import read_json
from contracts.errors import ArtifactError
from train import reproduction, retrieval, tracking


@pytest.fixture(scope="module")
def recorded(world):
    """The id of a run of ``retrieval fit``, recorded as the command does it, in a store that was not there before."""
    root = logging.getLogger()
    ours = root.handlers[:], root.level
    with tracking.recorded(world.config, world.zones, "retrieval", "fit") as record:
        record.figures(retrieval.run(world.config, world.zones, "fit", force=True, on_epoch=record.epoch))
        record.files(f"{world.zones.retrieval}/fit")
    assert (root.handlers, root.level) == ours, "what makes the database took our log over"
    return record.id


@pytest.fixture(scope="module")
def client(world, recorded):
    return tracking.connect(tracking.store(world.zones))


def test_a_run_holds_settings_figures_curves_data_code_and_files(world, client, recorded):
    run = client.get_run(recorded)
    manifest = read_json(f"{world.zones.retrieval}/fit/manifest.json")
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == world.config.name
    assert run.data.params["train.temperature"] == "0.1"
    assert run.data.params["features.popularity_half_lives_hours"] == "(168.0, 720.0)"
    assert run.data.metrics["validation.ndcg_at_10"] == manifest["validation"]["ndcg_at_10"]
    assert [each.value for each in client.get_metric_history(recorded, "loss")] == manifest["losses"]
    by_epoch = [each.value for each in client.get_metric_history(recorded, "validation_by_epoch")]
    assert by_epoch[manifest["epochs"] - 1] == max(by_epoch) == manifest["validation"]["ndcg_at_10"]
    data = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
    assert data == {"processed": "processed-1", "features": "features-1"}
    assert len(run.data.tags[tracking.CODE]) == 16
    kept = {each.path for each in client.list_artifacts(recorded)}
    assert {"config.json", "manifest.json", "query_tower.onnx"} <= kept
    assert "item_embeddings.npy" not in kept


def test_the_commit_is_recorded_where_there_is_git(client, recorded):
    found = client.get_run(recorded).data.tags.get(tracking.COMMIT, "")
    root = Path(__file__).parents[2]
    if (root / ".git").exists():
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
        assert found.removesuffix("-dirty") == head


def test_what_ends_a_training_is_the_runs_reason(world, client):
    with pytest.raises(ArtifactError), tracking.recorded(world.config, world.zones, "ranker", "dcn") as record:
        raise ArtifactError("no candidates")
    run = client.get_run(record.id)
    assert run.info.status == "FAILED"
    assert run.data.tags["trireme.reason"] == "ArtifactError: no candidates"


def test_a_run_is_reproduced_from_its_record(world, recorded, monkeypatch):
    monkeypatch.setenv("TRIREME_ROOT", str(Path(world.zones.root).parent))
    manifest = read_json(f"{world.zones.retrieval}/fit/manifest.json")
    found = reproduction.run(recorded)
    assert found["differs"] == [] and found["same"] >= 8
    # In a folder of its own: what was made before is still what it was.
    assert read_json(f"{world.zones.retrieval}/fit/manifest.json") == manifest


def test_the_record_alone_decides_the_settings(world, recorded, monkeypatch):
    monkeypatch.setenv("TRIREME_ROOT", str(Path(world.zones.root).parent))
    assert reproduction.read(recorded).config == world.config


def test_other_data_and_other_code_are_named(world, recorded, monkeypatch):
    monkeypatch.setenv("TRIREME_ROOT", str(Path(world.zones.root).parent))
    record = reproduction.read(recorded)
    assert reproduction.differences(record, world.zones) == {}
    other = dataclasses.replace(record, code="0" * 16, data={**record.data, "features": "features-0"})
    differs = reproduction.differences(other, world.zones)
    assert differs.keys() == {"code", "data.features"}
    assert differs["data.features"] == "features-0"


def test_figures_that_came_out_otherwise_are_told_and_times_are_no_figures():
    was = {"ndcg": 0.5, "seconds": 3.0, "rows": 7.0}
    assert reproduction.compare(was, {"ndcg": 0.50000001, "seconds": 9.0, "rows": 7.0}) == {}
    assert reproduction.compare(was, {"ndcg": 0.51, "epochs": 2.0}) == {"ndcg": (0.5, 0.51), "epochs": (None, 2.0)}


def test_a_run_that_nobody_has_is_said_with_where_it_was_looked_for(world, recorded, monkeypatch):
    monkeypatch.setenv("TRIREME_ROOT", str(Path(world.zones.root).parent))
    with pytest.raises(ArtifactError, match=r"no run 0000 in sqlite:.*shop/mlflow/mlflow\.db"):
        reproduction.read("0000")


@pytest.mark.parametrize("kind", ["tuning", "bakeoff", "update"])
def test_a_run_that_is_no_training_of_the_data_alone_says_what_to_reproduce_instead(world, kind, monkeypatch):
    monkeypatch.setenv("TRIREME_ROOT", str(Path(world.zones.root).parent))
    with tracking.recorded(world.config, world.zones, "ranker", kind) as record:
        pass
    with pytest.raises(ArtifactError, match=f"is of ranker, {kind}: .*reproduce"):
        reproduction.read(record.id)


@pytest.mark.parametrize("host", ["no scheme", "nobody listens"])
def test_a_store_that_fails_is_one_warning_with_its_url_and_the_work_goes_on(world, host, monkeypatch, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = "nonsense://host" if host == "no scheme" else f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        started = time.monotonic()
        with caplog.at_level(logging.WARNING), tracking.recorded(world.config, world.zones, "retrieval") as record:
            record.figures({"ndcg": 0.5})
            record.epoch(0, 0.5)
    assert record.id == ""
    (warning,) = [line for line in caplog.messages if "not tracked" in line]
    assert url in warning
    assert time.monotonic() - started < 20


def test_a_data_set_in_a_bucket_needs_a_server(world, caplog):
    zones = dataclasses.replace(world.zones, root="memory://bucket/shop")
    with tracking.recorded(world.config, zones, "retrieval"):
        pass
    assert "MLFLOW_TRACKING_URI" in caplog.text
