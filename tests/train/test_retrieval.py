import dataclasses
import io
from collections import Counter

import fsspec
import numpy as np
import onnxruntime
import pyarrow as pa
import pytest

from contracts.artifacts import Zones, read_manifest
from contracts.blending import recent_weights
from contracts.errors import ArtifactError
from train import inputs, pairs, retrieval, tables
from train.towers import RECENT_ITEMS

#: Items of each group: the made-up shop has 60 in 4.
OWN = 15


@pytest.fixture(scope="module")
def fitted(world):
    """The zone of a whole ``--fit``."""
    retrieval.run(world.config, world.zones, "fit")
    return f"{world.zones.retrieval}/fit"


@pytest.fixture(scope="module")
def tower(fitted):
    return onnxruntime.InferenceSession(fsspec.open(f"{fitted}/query_tower.onnx").open().read())


def load(url):
    return np.load(io.BytesIO(fsspec.open(url).open().read()), allow_pickle=False)


def embed(tower, user_codes, recent):
    """Queries of one hour ago's items."""
    recent = np.asarray(recent, np.int64)
    weights = np.where(recent > 0, recent_weights(np.full(recent.shape, 3_600_000), 720.0), 0).astype(np.float32)
    inputs = {"user_codes": np.asarray(user_codes, np.int64), "recent_items": recent, "recent_weights": weights}
    return tower.run(["query_embedding"], inputs)[0]


def test_the_artifacts_have_the_shapes_types_and_names_of_the_contract(world, fitted, tower):
    table = load(f"{fitted}/item_item.npz")
    embeddings = load(f"{fitted}/item_embeddings.npy")
    assert (table["neighbours"].dtype, table["neighbours"].shape) == (np.int32, (60, 10))
    assert (table["weights"].dtype, table["weights"].shape) == (np.float32, (60, 10))
    assert (embeddings.dtype, embeddings.shape) == (np.float32, (60, 16))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    shapes = {spec.name: (spec.type, spec.shape[1:]) for spec in tower.get_inputs()}
    assert shapes == {
        "user_codes": ("tensor(int64)", [2]),
        "recent_items": ("tensor(int64)", [8]),
        "recent_weights": ("tensor(float)", [8]),
    }
    assert [spec.name for spec in tower.get_outputs()] == ["query_embedding"]
    facts = read_manifest(fitted)
    assert facts["fitted_until"] == read_manifest(world.zones.processed)["retrieval_end"]
    assert facts["temperature"] == world.config.train.temperature
    assert facts["recent_half_life_hours"] == world.config.train.recent_half_life_hours
    assert facts["onnx_error"] <= 1e-5


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_a_query_answers_the_same_alone_and_in_a_batch_with_unit_length(tower, batch):
    generator = np.random.default_rng(batch)
    users, recent = generator.integers(2, 5, (batch, 2)), generator.integers(0, 63, (batch, 8))
    whole = embed(tower, users, recent)
    single = np.concatenate([embed(tower, users[i : i + 1], recent[i : i + 1]) for i in range(batch)])
    np.testing.assert_allclose(whole, single, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1.0, atol=1e-5)


def test_a_user_unknown_to_the_model_is_served_by_what_he_took(world, fitted, tower):
    embeddings = load(f"{fitted}/item_embeddings.npy")
    hits = []
    for group in range(4):
        recent = np.array([[3 + group, 7 + group, 11 + group, 0, 0, 0, 0, 0]])
        scores = embeddings @ embed(tower, [[2, 3]], recent)[0]
        first = np.argsort(-scores)[:OWN] + 3
        hits.append((world.group_of_item(first) == group).mean())
    assert min(hits) > 0.7, hits


def test_without_recent_items_the_answer_is_finite_and_no_groups(world, fitted, tower):
    scores = load(f"{fitted}/item_embeddings.npy") @ embed(tower, [[2, 3]], np.zeros((1, 8)))[0]
    assert np.isfinite(scores).all()
    shares = np.bincount(world.group_of_item(np.argsort(-scores)[:20] + 3), minlength=4) / 20
    assert shares.max() < 0.8


def test_item_item_leads_from_an_item_to_its_group(world, fitted):
    table = load(f"{fitted}/item_item.npz")
    group = world.group_of_item(np.arange(60) + 3)
    up = table["weights"] > 0
    assert (world.group_of_item(table["neighbours"]) == group[:, None])[up].mean() > 0.7


def test_the_manifest_has_the_training_curve_and_what_the_best_epoch_is_worth(fitted, world):
    facts = read_manifest(fitted)
    assert 1 < len(facts["losses"]) <= 200
    assert facts["losses"][-1] < facts["losses"][0]
    assert 1 <= facts["epochs"] <= world.config.train.retrieval_epochs
    assert 0.3 < facts["validation"]["ndcg_at_10"] < facts["validation"]["recall_at_100"] <= 1


def test_refit_learns_as_many_epochs_as_were_best_in_fit_and_judges_none(world, fitted):
    lesson = retrieval.learn(world.config, world.zones, tables.catalogue(world.config, world.zones), "refit")
    assert (lesson.epochs, lesson.validation) == (read_manifest(fitted)["epochs"], None)


def test_refit_asks_for_a_fit_of_the_same_settings(world, fitted):
    other = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, temperature=0.3))
    with pytest.raises(ArtifactError, match="needs its number of epochs"):
        retrieval.learn(other, world.zones, tables.catalogue(world.config, world.zones), "refit")


def test_training_ends_when_no_epoch_is_better_and_the_best_weights_stay(world, monkeypatch):
    held = tables.catalogue(world.config, world.zones)
    lesson = dataclasses.replace(retrieval.learn(world.config, world.zones, held, "fit"), epochs=9)
    figures, told, vectors = iter([0.2, 0.4, 0.3, 0.3, 0.3]), [], []

    def judged(model, *_):
        vectors.append(retrieval.item_embeddings(model, held))
        return {"ndcg_at_10": next(figures)}

    monkeypatch.setattr(retrieval, "evaluate", judged)
    done = retrieval.fit(world.config, held, lesson, lambda epoch, figure: told.append((epoch, figure)))
    assert told == [(0, 0.2), (1, 0.4), (2, 0.3), (3, 0.3), (4, 0.3)]
    assert (done.epochs, done.validation) == (2, {"ndcg_at_10": 0.4})
    np.testing.assert_array_equal(retrieval.item_embeddings(done.model, held), vectors[1])


def test_what_on_epoch_raises_ends_the_training(world):
    held = tables.catalogue(world.config, world.zones)

    def prune(epoch, figure):
        raise KeyboardInterrupt(f"{epoch} {figure}")

    with pytest.raises(KeyboardInterrupt, match=r"0 0\."):
        retrieval.fit(world.config, held, retrieval.learn(world.config, world.zones, held, "fit"), prune)


def test_a_second_run_is_skipped_and_force_is_not(world, fitted, monkeypatch):
    assert retrieval.run(world.config, world.zones, "fit")["skipped"]
    monkeypatch.setattr(retrieval.pairs, "load", lambda *_: pytest.fail("started again"))
    with pytest.raises(pytest.fail.Exception):
        retrieval.run(world.config, world.zones, "fit", force=True)


def test_other_settings_are_not_current(world, fitted, monkeypatch):
    monkeypatch.setattr(retrieval, "fit", lambda *_: pytest.fail("started again"))
    other = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, temperature=0.3))
    with pytest.raises(pytest.fail.Exception):
        retrieval.run(other, world.zones, "fit")


def test_before_etl_the_missing_manifest_is_named(world, tmp_path):
    with pytest.raises(ArtifactError, match=r"processed/manifest\.json is not there"):
        retrieval.run(world.config, Zones(str(tmp_path)), "fit")


def test_pairs_are_every_new_item_of_the_windows_with_what_was_known_before(world):
    held = tables.catalogue(world.config, world.zones)
    loaded = pairs.load(world.config, world.zones, held, ("A", "B"))
    users, items = tables.first_interactions(world.zones, held, 50 * 86_400_000)
    # Each (user, item) is new once: pairs of all rows of a time are the distinct interactions of that time.
    assert len(loaded.row) == len(users)
    assert sorted(loaded.item.tolist()) == sorted((items + 3).tolist())
    known = loaded.queries
    assert ((known.recent_items > 0) == (known.recent_weights > 0)).all()
    assert known.user_codes.max() < 3 + 150
    assert (known.user_codes[:, 0] == 2).any()


def test_a_user_is_learned_as_he_was_in_each_row_and_not_as_he_is_now(world):
    held = tables.catalogue(world.config, world.zones)
    rows = pa.table({"segment": ["a", "b", "", "never seen"], "user_id": ["u000", "u000", "u001", "nobody"]})
    assert held.user_codes(rows).tolist() == [[3, 3], [3, 4], [4, 1], [2, 2]]
    table = tables.read(f"{world.zones.features}/rows/window=A", ["segment"])
    loaded = pairs.load(world.config, world.zones, held, ("A",))
    assert loaded.queries.user_codes[:, 1].tolist() == [3 + (each == "b") for each in table["segment"].to_pylist()]


def test_pairs_are_sampled_down_to_the_setting(world):
    held = tables.catalogue(world.config, world.zones)
    few = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, retrieval_max_pairs=100))
    assert len(pairs.load(few, world.zones, held, ("A",)).row) == 100


def test_an_epoch_shows_each_pair_once_and_hides_its_share_of_ids(world):
    held = tables.catalogue(world.config, world.zones)
    train = dataclasses.replace(world.config.train, retrieval_batch=50, id_dropout=0.5)
    config = dataclasses.replace(world.config, train=train)
    loaded = pairs.load(config, world.zones, held, ("A",))
    batches, steps = inputs.batches(config, held, loaded, 2)
    seen = list(batches.as_numpy_iterator())
    assert steps == len(loaded.row) // 50 and len(seen) == 2 * steps

    def shown(epoch):
        return [
            (*recent, *segment, *item)
            for batch in epoch
            for recent, segment, item in zip(batch[RECENT_ITEMS], batch["segment"], batch["item_id"])
        ]

    known = loaded.queries
    pair = zip(known.recent_items[loaded.row].tolist(), known.user_codes[loaded.row, 1], loaded.item)
    there = Counter((*recent, segment, item) for recent, segment, item in pair)
    first, second = shown(seen[:steps]), shown(seen[steps:])
    assert Counter(first) <= there and Counter(second) <= there
    assert first != second
    hidden = np.concatenate([batch["user_id"][:, 0] == 2 for batch in seen]).mean()
    already = (known.user_codes[loaded.row, 0] == 2).mean()
    assert hidden == pytest.approx(already + 0.5 * (1 - already), abs=0.03)
    again = inputs.batches(config, held, loaded, 1)[0].as_numpy_iterator()
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(again, seen) for name in b)


def test_impressions_are_no_interactions(world):
    held = tables.catalogue(world.config, world.zones)
    users, items = tables.first_interactions(world.zones, held, 2)
    assert len(users) == len(items) == 0


def test_a_missing_column_is_named_with_what_is_there(world):
    with pytest.raises(ArtifactError, match=r"expected columns \['nowhere'\]"):
        tables.read(f"{world.zones.features}/items.parquet", ["item_id", "nowhere"])


def test_an_item_that_nobody_met_is_embedded_by_its_attributes_where_training_hid_ids(world):
    held = tables.catalogue(world.config, world.zones)
    met = np.array([0, 2, 2, 5])
    hiding = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, item_id_dropout=0.1))
    ids = retrieval.met_only(hiding, held, met).item_codes["item_id"]
    assert ids[:9].tolist() == [0, 1, 2, 3, 2, 5, 2, 2, 8] and (ids[9:] == 2).all()
    assert retrieval.met_only(world.config, held, met) is held
