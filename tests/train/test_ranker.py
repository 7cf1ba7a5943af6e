import dataclasses

import fsspec
import made_shop
import numpy as np
import onnxruntime
import pytest

from contracts.artifacts import read_json
from contracts.blending import calibrated
from contracts.errors import ArtifactError
from contracts.features import ranker_categorical, ranker_continuous
from train import ranker, ranking_rows
from train.blend_tuning import mean_ndcg
from train.ranking_model import Inputs, build, logit
from train.ranking_rows import Candidates


@pytest.fixture(scope="module")
def ranked(world):
    """The figures of a whole run on candidates with a planted preference."""
    made_shop.write_candidates(world, np.random.default_rng(11))
    return ranker.run(world.config, world.zones)


@pytest.fixture(scope="module")
def session(world, ranked):
    return onnxruntime.InferenceSession(fsspec.open(f"{world.zones.ranker}/ranker.onnx").open().read())


def test_the_ranker_finds_the_planted_preference_that_retrieval_does_not_know(ranked):
    assert ranked["ndcg_at_10_ranker"] > ranked["ndcg_at_10_retrieval"] + 0.1
    # By weights that other requests chose.
    assert ranked["ndcg_at_10_blend"] > 0.97 * ranked["ndcg_at_10_ranker"]


def planted(generator, requests=150, number=20):
    """Candidates taken by the first number and by the first code; what a hit is worth is the second number."""
    count = requests * number
    codes, values = generator.integers(3, 7, (count, 2)), generator.normal(50, 10, (count, 3)).astype(np.float32)
    logits = 0.2 * (values[:, 0] - 50) + 1.5 * (codes[:, 0] == 4) - 2.5
    taken = generator.random(count) < 1 / (1 + np.exp(-logits))
    request = np.repeat(np.arange(requests), number)
    worth = np.where(taken, (values[:, 1] - 50) / 10 + generator.normal(0, 0.3, count), np.nan).astype(np.float32)
    return Candidates(codes, values, taken.astype(np.float32), request, np.bincount(request[taken]), worth), logits


def fitted(world, learned, **changes):
    settings = {"ranker_epochs": 6, "ranker_learning_rate": 0.02, "ranker_batch": 512, "ranker_l2": 1e-5} | changes
    config = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, **settings))
    return ranker.fit(config, ranking_rows.columns(learned, {"a": 7, "b": 7}, ("x", "y", "z")), learned)


@pytest.mark.parametrize(("kind", "loss"), [("dcn", "listwise"), ("dlrm", "binary"), ("mmoe", "listwise")])
def test_every_kind_learns_who_takes_what_and_from_the_second_label_what_it_is_worth(world, kind, loss):
    learned, _ = planted(np.random.default_rng(4))
    asked, truth = planted(np.random.default_rng(5))
    made = fitted(world, learned, ranker=kind, ranker_loss=loss, second_task="value")
    found, best = mean_ndcg(made.logits(asked), asked), mean_ndcg(truth, asked)
    by_chance = mean_ndcg(np.random.default_rng(6).random(len(truth)), asked)
    assert found > best - 0.2 * (best - by_chance)
    worth = (asked.continuous[:, 1] - 50) / 10
    assert np.corrcoef(made.seconds(asked), worth)[0, 1] > 0.85
    assert made.validation["second_correlation"] > 0.7


def test_the_same_seed_makes_the_same_weights_and_another_does_not(world):
    learned, _ = planted(np.random.default_rng(4), requests=40)
    first, again, other = (fitted(world, learned, seed=seed, ranker_epochs=1).model.get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def test_training_tells_of_every_epoch_keeps_the_best_and_can_be_ended(world):
    learned, _ = planted(np.random.default_rng(4), requests=40)
    told = []

    def on_epoch(epoch, figure):
        told.append((epoch, figure))
        if epoch == 1:
            raise InterruptedError

    config = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, ranker_epochs=9))
    columns = ranking_rows.columns(learned, {"a": 7, "b": 7}, ("x", "y", "z"))
    with pytest.raises(InterruptedError):
        ranker.fit(config, columns, learned, on_epoch)
    assert [epoch for epoch, _ in told] == [0, 1] and all(0 < figure <= 1 for _, figure in told)


def test_blend_json_holds_what_serving_reads(world, ranked):
    blend = read_json(f"{world.zones.ranker}/blend.json")
    evidence = {"evidence_half", "ranker_evidence_half"}
    assert set(blend) == {"calibration", "retrieval_weight", "signals", "spread", *evidence}
    assert np.diff(blend["calibration"]["log_odds"]).min() > 0
    assert sum(blend["signals"].values()) == pytest.approx(1, abs=1e-3)
    assert blend["spread"] > 0


def test_calibrated_probabilities_are_as_frequent_as_they_say(world, ranked, session):
    asked = ranking_rows.load(world.config, world.zones, "C")
    (logits,) = session.run(["logit"], {"categorical": asked.categorical, "continuous": asked.continuous})
    probability = calibrated(logits, read_json(f"{world.zones.ranker}/blend.json")["calibration"])
    for low, high in ((0.0, 0.2), (0.2, 0.6), (0.6, 1.0)):
        inside = (probability >= low) & (probability < high)
        assert asked.label[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.06)


def test_calibration_json_tells_how_reliable_the_probabilities_are(world, ranked):
    document = read_json(f"{world.zones.ranker}/calibration.json")
    assert document["ece"] == ranked["ece"] < document["ece_uncalibrated"]
    assert document["method"] in ("platt", "isotonic")
    assert all({*each} == {"predicted", "observed", "count"} for each in document["curve"])


def test_the_graph_has_the_names_and_types_of_the_contract_and_standardises_by_itself(world, session):
    assert [(spec.name, spec.type, spec.shape[1:]) for spec in session.get_inputs()] == [
        ("categorical", "tensor(int64)", [2]),
        ("continuous", "tensor(float)", [len(ranker_continuous(world.config.features))]),
    ]
    (output,) = session.get_outputs()
    assert (output.name, output.type) == ("logit", "tensor(float)")
    # The made-up numbers lie around 50: unstandardised, logits would be in the hundreds.
    learned = ranking_rows.load(world.config, world.zones, "B")
    (logits,) = session.run(["logit"], {"categorical": learned.categorical, "continuous": learned.continuous})
    assert logits.shape == (len(learned.label),)
    assert np.abs(logits).max() < 20


def test_a_column_that_never_varied_in_training_sways_nothing_when_it_does(world, session):
    learned = ranking_rows.load(world.config, world.zones, "B")
    categorical, continuous = learned.categorical[:50], learned.continuous[:50]
    varied = continuous.copy()
    varied[:, ranker_continuous(world.config.features).index("session_dwell")] = 4.0
    before, after = (
        session.run(["logit"], {"categorical": categorical, "continuous": x})[0] for x in (continuous, varied)
    )
    assert np.array_equal(before, after) and np.isfinite(before).all()


@pytest.mark.parametrize("second_task", ["", "value"])
@pytest.mark.parametrize("kind", ["dcn", "dlrm", "mmoe"])
def test_onnx_equals_tensorflow_for_every_kind(world, kind, second_task):
    inputs = Inputs({"a": 5, "b": 7}, ("x", "y"), np.array([50, 0], "f4"), np.array([10, 1], "f4"))
    generator = np.random.default_rng(2)
    categorical = generator.integers(0, 5, (500, 2))
    continuous = generator.normal(50, 10, (500, 2)).astype(np.float32)
    settings = dataclasses.replace(world.config.train, ranker=kind, second_task=second_task)
    fitted = ranker.Fitted(build(settings, inputs), inputs, [], 0, {})
    nothing = np.zeros(500, np.float32)
    content, error = ranker.ranker_onnx(
        fitted, ranking_rows.Candidates(categorical, continuous, nothing, nothing, nothing, nothing)
    )
    assert error <= 1e-5
    (logits,) = onnxruntime.InferenceSession(content).run(
        ["logit"], {"categorical": categorical[:3], "continuous": continuous[:3]}
    )
    expected = logit(fitted.model(inputs.split(categorical[:3], continuous[:3]))).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_ranker_worse_than_chance_on_window_c_is_refused(world, ranked, monkeypatch):
    onnx = fsspec.open(f"{world.zones.ranker}/ranker.onnx").open().read()
    monkeypatch.setattr(ranker, "platt", lambda *_: (-0.1, 0.0))
    with pytest.raises(ArtifactError, match="worse than chance on window C"):
        ranker.tune(world.config, world.zones, onnx, ranking_rows.load(world.config, world.zones, "C"))


def test_a_second_run_is_skipped(world, ranked):
    assert ranker.run(world.config, world.zones)["skipped"]


def test_a_code_that_the_vocabulary_got_since_is_out_of_vocabulary(world, session):
    numbers = np.zeros((2, len(ranker_continuous(world.config.features))), np.float32)
    for column in range(len(ranker_categorical(world.config.features))):
        codes = np.full((2, len(ranker_categorical(world.config.features))), 3, np.int64)
        codes[:, column] = [2, 1000]
        unknown, later = session.run(["logit"], {"categorical": codes, "continuous": numbers})[0]
        assert unknown == later
