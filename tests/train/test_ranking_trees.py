import dataclasses

import numpy as np
import onnxruntime
import pytest

from contracts.errors import ArtifactError
from contracts.model_settings import TrainSettings
from train import ranking_trees
from train.blend_tuning import mean_ndcg
from train.ranking_rows import Candidates

SETTINGS = TrainSettings(ranker="trees", ranker_epochs=10)


def planted(seed, requests=400, number=40):
    """Candidates taken where two numbers are both high or both low: no weighted sum of them tells."""
    generator = np.random.default_rng(seed)
    count = requests * number
    values = generator.normal(50, 10, (count, 3)).astype(np.float32)
    logits = (values[:, 0] - 50) * (values[:, 1] - 50) / 40 - 2
    taken = generator.random(count) < 1 / (1 + np.exp(-logits))
    request = np.repeat(np.arange(requests), number)
    relevant = np.bincount(request[taken], minlength=requests)
    codes, nothing = np.zeros((count, 2), np.int64), np.full(count, np.nan, np.float32)
    return Candidates(codes, values, taken.astype(np.float32), request, relevant, nothing), logits


@pytest.fixture(scope="module")
def fitted():
    return ranking_trees.fit(SETTINGS, planted(4)[0], 0.15, None)


def test_trees_find_what_two_numbers_only_mean_together(fitted):
    asked, truth = planted(5)
    found, best = mean_ndcg(fitted.logits(asked), asked), mean_ndcg(truth, asked)
    by_chance = mean_ndcg(np.random.default_rng(6).random(len(truth)), asked)
    assert found > best - 0.2 * (best - by_chance)


def test_onnx_equals_the_trees_at_every_number_that_parts_them(fitted):
    learned, _ = planted(4)
    table = fitted.model.trees_to_dataframe()
    edges = table["threshold"].dropna().to_numpy(np.float64)
    near = np.float32(edges)
    numbers = np.concatenate([np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))])
    numbers = np.repeat(numbers[:, None], 3, axis=1)
    nothing = np.zeros(len(numbers), np.float32)
    asked = Candidates(np.zeros((len(numbers), 2), np.int64), numbers, nothing, nothing, nothing, nothing)
    content, error = fitted.onnx(asked)
    assert error <= 1e-5
    session = onnxruntime.InferenceSession(content)
    inputs = {"categorical": learned.categorical[:3], "continuous": learned.continuous[:3]}
    (logits,) = session.run(["logit"], inputs)
    assert logits.dtype == np.float32 and logits.shape == (3,)
    np.testing.assert_allclose(logits, fitted.logits(learned)[:3], atol=1e-5)


def test_a_graph_that_differs_is_refused(fitted):
    learned, _ = planted(4)
    another = dataclasses.replace(fitted, epochs=1)
    graph = another._graph(2, 3)
    spoiled = dataclasses.replace(fitted)
    object.__setattr__(spoiled, "_graph", lambda *_: graph)
    with pytest.raises(ArtifactError, match="differs from LightGBM"):
        spoiled.onnx(learned)


def test_the_epoch_that_is_kept_is_the_best_on_requests_held_out():
    told = []
    made = ranking_trees.fit(SETTINGS, planted(4)[0], 0.15, lambda epoch, figure: told.append(figure))
    assert made.epochs == int(np.argmax(told)) + 1
    assert made.validation["ndcg_at_10"] == pytest.approx(max(told), abs=1e-5)
    assert len(made.losses) == len(told) and made.losses[-1] < made.losses[0]


def test_the_same_seed_makes_the_same_trees_and_another_does_not(fitted):
    learned, _ = planted(4)
    again = ranking_trees.fit(SETTINGS, learned, 0.15, None)
    other = ranking_trees.fit(dataclasses.replace(SETTINGS, seed=SETTINGS.seed + 1), learned, 0.15, None)
    assert np.array_equal(fitted.logits(learned), again.logits(learned))
    assert not np.array_equal(fitted.logits(learned), other.logits(learned))
