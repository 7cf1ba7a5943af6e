"""Half the bits in the deep layers: on a CPU, where bfloat16 is slow but there."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from test_ranker import fitted as fitted_ranker
from test_ranker import planted

from train import precision, ranker, ranking_model, retrieval, tables
from train.blend_tuning import mean_ndcg


def with_train(world, **changes):
    return dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, **changes))


@pytest.mark.parametrize("encoder", ["pooling", "attention"])
def test_towers_trained_in_half_the_bits_are_as_good_and_are_exported_in_all_of_them(world, encoder):
    held = tables.catalogue(world.config, world.zones)
    found = {}
    for wanted in ("off", "mixed_bfloat16"):
        config = with_train(world, query_encoder=encoder, mixed_precision=wanted, retrieval_epochs=3)
        lesson = retrieval.learn(config, world.zones, held, "fit")
        found[wanted] = retrieval.fit(config, held, lesson)
    half, whole = found["mixed_bfloat16"], found["off"]
    assert half.validation["ndcg_at_10"] > 0.9 * whole.validation["ndcg_at_10"]
    assert half.losses != whole.losses, "nothing was computed in half the bits"
    assert all(variable.dtype == tf.float32 for variable in half.model.trainable_variables)
    # Float32 throughout, or it would differ by a hundred times as much.
    assert retrieval.query_onnx(half.model, config, lesson.pairs.queries)[1] <= 1e-5


@pytest.mark.parametrize("kind", ["dcn", "dlrm", "mmoe"])
def test_a_ranker_trained_in_half_the_bits_learns_who_takes_what(world, kind):
    learned, _ = planted(np.random.default_rng(4))
    asked, truth = planted(np.random.default_rng(5))
    made = fitted_ranker(world, learned, ranker=kind, mixed_precision="mixed_bfloat16")
    found, best = mean_ndcg(made.logits(asked), asked), mean_ndcg(truth, asked)
    by_chance = mean_ndcg(np.random.default_rng(6).random(len(truth)), asked)
    assert found > best - 0.2 * (best - by_chance)
    content, error = ranker.ranker_onnx(made, learned)
    assert error <= 1e-5
    feed = {"categorical": asked.categorical, "continuous": asked.continuous}
    (logits,) = onnxruntime.InferenceSession(content).run(["logit"], feed)
    np.testing.assert_allclose(logits, made.logits(asked), atol=1e-4)


def test_deep_layers_compute_by_the_policy_and_the_logit_does_not(world):
    columns = ranking_model.Inputs({"a": 5}, ("x",), np.zeros(1, "f4"), np.ones(1, "f4"))
    model = ranking_model.build(world.config.train, columns, "mixed_bfloat16")
    dense = [layer for layer in model.submodules if isinstance(layer, tf.keras.layers.Dense)]
    assert sum(layer.compute_dtype == "bfloat16" for layer in dense) == len(dense) - 1 >= 3
    assert ranking_model.logit(model(columns.split(np.zeros((2, 1), "i8"), np.zeros((2, 1), "f4")))).dtype == tf.float32
    assert all(variable.dtype == tf.float32 for variable in model.trainable_variables)
    assert tf.keras.mixed_precision.global_policy().name == precision.WHOLE


@pytest.mark.parametrize(
    ("capability", "expected"), [((8, 0), "mixed_float16"), ((6, 1), "float32"), (None, "float32")]
)
def test_auto_asks_what_the_gpus_are_made_for(monkeypatch, capability, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["gpu"] if capability else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"compute_capability": capability})
    assert precision.policy("auto") == expected
    assert (precision.policy("off"), precision.policy("mixed_bfloat16")) == ("float32", "mixed_bfloat16")


def test_in_float16_the_loss_is_scaled_so_that_small_gradients_stay():
    plain = tf.keras.optimizers.legacy.SGD(1e7)
    assert precision.optimizer(plain, "mixed_bfloat16") is plain
    small, moved = tf.constant(1e-4, tf.float16), []
    for optimizer in (plain, precision.optimizer(plain, "mixed_float16")):
        weight = tf.Variable(1.0)
        with tf.GradientTape() as tape:
            loss = tf.cast(tf.cast(weight, tf.float16) * small, tf.float32) * 1e-4
        optimizer.minimize(loss, [weight], tape=tape)
        moved.append(1 - float(weight))
    # The derivative is 1e-8, which float16 has not.
    assert moved == [0.0, pytest.approx(0.1, rel=0.05)]
