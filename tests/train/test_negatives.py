"""Negatives of a batch and drawn ones: together they stand for the whole catalogue, the popular and the rare alike."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from contracts.features import FIRST_VALUE
from tests.train.test_towers import SHAPE
from train import inputs, negatives, retrieval, tables
from train.towers import _item_schema, sampled_softmax

ITEMS, TEMPERATURE, BATCH = SHAPE.item_columns["item_id"], 0.2, 2048
#: How often each item is taken: the first a hundred times as often as the last.
FREQUENCIES = np.r_[np.zeros(FIRST_VALUE), 100.0 / np.arange(1, ITEMS - FIRST_VALUE + 1) ** 1.25]
CHANCES = FREQUENCIES / FREQUENCIES.sum()
#: Scores of two kinds of queries for every item; those of the reserved codes are none's.
SCORES = np.random.default_rng(4).normal(size=(2, ITEMS)).astype(np.float32)


def loss(taken: np.ndarray, kinds: np.ndarray, counts: np.ndarray, beside: negatives.Drawn | None) -> np.ndarray:
    """Cross-entropy of each pair of a batch by the model's own output, over embeddings whose dots are ``SCORES``."""
    identity = np.eye(ITEMS, dtype=np.float32)
    drawn = beside and negatives.DrawnItems(
        beside, lambda columns, training: tf.gather(identity, columns["item_id"][:, 0])
    )
    output = sampled_softmax(_item_schema(SHAPE), counts, TEMPERATURE, drawn)
    embeddings = {"query": tf.constant(SCORES[kinds] * TEMPERATURE), "candidate": tf.constant(identity[taken])}
    found = output(embeddings, features={"item_id": tf.constant(taken[:, None])}, training=True)
    return tf.nn.softmax_cross_entropy_with_logits(found.targets, found.outputs).numpy()


def of_all(taken: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The same with the softmax of the whole catalogue."""
    each = SCORES[kinds]
    return np.log(np.exp(each[:, FIRST_VALUE:]).sum(axis=1)) - each[np.arange(len(taken)), taken]


def differences(beside: negatives.Drawn | None, counts: np.ndarray) -> tuple[float, float]:
    """How far the mean loss is from that of the whole catalogue, where popular items were taken and where rare ones."""
    generator = np.random.default_rng(6)
    tf.keras.utils.set_random_seed(6)
    batches = [(generator.choice(ITEMS, BATCH, p=CHANCES), generator.integers(0, 2, BATCH)) for _ in range(4)]
    off = np.concatenate([loss(*batch, counts, beside) - of_all(*batch) for batch in batches])
    popular = np.concatenate([taken for taken, _ in batches]) < FIRST_VALUE + 5
    return float(off[popular].mean()), float(off[~popular].mean())


@pytest.mark.parametrize(("number", "power"), [(0, 0.0), (1024, 0.0), (1024, 0.75)])
def test_the_loss_is_that_of_the_whole_catalogue_however_negatives_are_drawn(number: int, power: float) -> None:
    beside = negatives.drawn(number, power, FREQUENCIES, {"item_id": np.arange(ITEMS)}) if number else None
    counts = negatives.expected(FREQUENCIES, BATCH, beside)
    assert np.abs(differences(beside, counts)).max() < 0.05
    # By their frequency in the batch alone, as if none were drawn, the rare that were drawn count too much.
    if number:
        assert max(differences(beside, negatives.expected(FREQUENCIES, BATCH, None))) > 0.1


def test_every_item_is_drawn_as_often_as_is_expected_and_reserved_codes_never() -> None:
    beside = negatives.drawn(5_000, 0.5, FREQUENCIES, {"item_id": np.arange(ITEMS), "price": np.arange(ITEMS) / 2})
    seen = {}

    def embed(columns, training):
        seen.update(columns)
        return tf.zeros((len(columns["item_id"]), 1))

    drawn = negatives.DrawnItems(beside, embed).sample()
    found = np.bincount(drawn.id.numpy()[:, 0], minlength=ITEMS)
    wanted = negatives.expected(FREQUENCIES, 1, beside) - negatives.expected(FREQUENCIES, 1, None)
    assert found[:FIRST_VALUE].sum() == 0
    np.testing.assert_allclose(found, wanted, atol=5 * np.sqrt(wanted.max()))
    np.testing.assert_array_equal(seen["price"], seen["item_id"] / 2)


def test_a_fit_with_drawn_negatives_trains_each_weight_once_and_finds_the_groups(world) -> None:
    train = dataclasses.replace(world.config.train, sampled_negatives=64, retrieval_epochs=2)
    config = dataclasses.replace(world.config, train=train)
    held = tables.catalogue(config, world.zones)
    lesson = retrieval.learn(config, world.zones, held, "fit")
    fitted = retrieval.fit(config, held, lesson)
    plain = retrieval.build(world.config, held, lesson)
    plain.query_encoder(inputs.query_inputs(lesson.pairs.queries.take(np.arange(2)), ("user_id", "segment")))
    plain.candidate_encoder(inputs.item_inputs(held, np.array([3, 4])))
    one, other = ([tuple(each.shape) for each in model.trainable_variables] for model in (fitted.model, plain))
    assert sorted(one) == sorted(other)
    assert fitted.validation["ndcg_at_10"] > 0.3
