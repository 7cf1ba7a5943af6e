import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from contracts.features import OUT_OF_VOCABULARY
from train.negatives import expected
from train.towers import RECENT_ITEMS, RECENT_WEIGHTS, Shape, two_tower

ITEMS, RECENT = 43, 4
SHAPE = Shape({"user_id": 5}, {"item_id": ITEMS, "department": 5}, RECENT, 16)
#: What two kinds of users take: four items in ten that everyone likes, the rest their own long tail.
COMMON = np.arange(3, 7)


def truth() -> np.ndarray:
    """Probability of each item code by kind of user, float ``[2, ITEMS]``."""
    chances = np.zeros((2, ITEMS))
    chances[:, COMMON] = 0.1
    for kind in range(2):
        chances[kind, 7 + kind * 18 : 7 + (kind + 1) * 18] = 0.6 * 0.8 ** np.arange(18) / (0.8 ** np.arange(18)).sum()
    return chances


def queries(kinds: np.ndarray) -> dict:
    size = len(kinds)
    return {
        "user_id": (kinds + 3)[:, None],
        RECENT_ITEMS: np.zeros((size, RECENT), np.int64),
        RECENT_WEIGHTS: np.zeros((size, RECENT), np.float32),
    }


def items(codes: np.ndarray) -> dict:
    return {"item_id": codes[:, None], "department": np.full((len(codes), 1), 3)}


def chance_of_the_best_five(counts_of) -> float:
    """How much of what the users take is in the model's first five, after training on draws of the truth."""
    generator = np.random.default_rng(8)
    tf.keras.utils.set_random_seed(8)
    kinds = generator.integers(0, 2, 12_800)
    taken = np.array([generator.choice(ITEMS, p=chances) for chances in truth()[kinds]])
    model = two_tower(SHAPE, counts_of(taken), temperature=0.2)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.01), metrics=[])
    columns = queries(kinds) | items(taken)
    model.fit(tf.data.Dataset.from_tensor_slices(columns).batch(256, drop_remainder=True), epochs=4, verbose=0)
    codes = np.arange(3, ITEMS)
    scores = model.query_encoder(queries(np.arange(2))).numpy() @ model.candidate_encoder(items(codes)).numpy().T
    first = codes[np.argsort(-scores, axis=1)[:, :5]]
    return float(np.take_along_axis(truth(), first, axis=1).sum(axis=1).mean())


def test_logq_finds_what_users_take_where_plain_in_batch_negatives_shun_the_popular():
    possible = float(np.sort(truth(), axis=1)[:, -5:].sum(axis=1).mean())
    corrected = chance_of_the_best_five(lambda taken: expected(np.bincount(taken, minlength=ITEMS) + 0.5, 256, None))
    plain = chance_of_the_best_five(lambda taken: np.ones(ITEMS))
    assert corrected > 0.9 * possible
    assert plain < 0.85 * corrected


@pytest.fixture(scope="module")
def untrained():
    return two_tower(SHAPE, np.ones(ITEMS), 0.1)


def test_both_towers_give_unit_vectors_even_to_a_user_of_whom_nothing_is_known(untrained):
    vectors = (
        untrained.query_encoder(queries(np.array([-1, 0]))).numpy(),
        untrained.candidate_encoder(items(COMMON)).numpy(),
    )
    for part in vectors:
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1.0, atol=1e-5)


def test_the_towers_share_one_item_table(untrained):
    untrained.query_encoder(queries(np.array([0])))
    untrained.candidate_encoder(items(COMMON))
    tables = [w for w in untrained.trainable_variables if w.shape == (ITEMS, 16)]
    assert len(tables) == 1


def test_recent_items_count_by_their_weight_and_padding_not_at_all(untrained):
    def embed(recent, weights):
        columns = queries(np.array([0])) | {RECENT_ITEMS: np.array([recent]), RECENT_WEIGHTS: np.array([weights], "f4")}
        return untrained.query_encoder(columns).numpy()

    one = embed([9, 0, 0, 0], [1, 0, 0, 0])
    np.testing.assert_allclose(embed([9, 11, 0, 0], [0.5, 0, 0, 0]), one, atol=1e-6)
    np.testing.assert_allclose(embed([9, 9, 9, 9], [0.1, 0.2, 0.3, 0.4]), one, atol=1e-6)
    assert np.abs(embed([9, 11, 0, 0], [1, 1, 0, 0]) - one).max() > 1e-4


def test_an_item_that_came_after_training_is_found_by_its_attributes_when_ids_were_hidden():
    """Two kinds of users take the items of two departments; a newcomer has a department and no id of its own."""
    generator = np.random.default_rng(9)
    kinds = generator.integers(0, 2, 6_400)
    taken = 3 + 2 * generator.integers(0, 20, len(kinds)) + kinds
    departments = {"department": 3 + (np.arange(ITEMS) - 3) % 2}
    first = queries(np.arange(2))

    def newcomers(dropout: float) -> np.ndarray:
        """Cosine of both kinds (rows) and a newcomer of either department (columns)."""
        tf.keras.utils.set_random_seed(4)
        model = two_tower(SHAPE, expected(np.bincount(taken, minlength=ITEMS) + 0.5, 256, None), 0.2, dropout)
        model.compile(optimizer=tf.keras.optimizers.Adam(0.01), metrics=[])
        columns = queries(kinds) | {"item_id": taken[:, None], "department": departments["department"][taken][:, None]}
        model.fit(tf.data.Dataset.from_tensor_slices(columns).batch(256, drop_remainder=True), epochs=3, verbose=0)
        new = {"item_id": np.full((2, 1), 2), "department": np.array([[3], [4]])}
        return model.query_encoder(first).numpy() @ model.candidate_encoder(new).numpy().T

    known, unknown = newcomers(0.2), newcomers(0.0)
    assert (np.diag(known) > 0.5).all(), known
    assert np.diag(known).min() > np.diag(unknown).min() + 0.05, (known, unknown)
    assert (known[[0, 1], [1, 0]] < 0.0).all(), known


def test_what_an_hour_asks_for_and_what_a_number_says_are_learned():
    """At one hour cheap items are taken, at another dear ones; neither user nor department tells anything."""
    shape = dataclasses.replace(SHAPE, user_columns={"user_id": 5, "hour": 5}, item_numbers=("price",))
    generator = np.random.default_rng(3)
    tf.keras.utils.set_random_seed(3)
    hour, price = generator.integers(0, 2, 6_400), generator.normal(size=ITEMS).astype(np.float32)
    dear = np.argsort(price[3:]) + 3  # 40 of them, the cheapest first
    taken = np.where(
        hour == 1, dear[-15:][generator.integers(0, 15, 6_400)], dear[:15][generator.integers(0, 15, 6_400)]
    )

    def item(codes: np.ndarray, prices: np.ndarray) -> dict:
        return items(codes) | {"price": prices[:, None].astype(np.float32)}

    def query(hours: np.ndarray) -> dict:
        return queries(np.zeros(len(hours), np.int64)) | {"hour": hours[:, None] + 3}

    counts = expected(np.bincount(taken, minlength=ITEMS) + 0.5, 256, None)
    model = two_tower(shape, counts, 0.2, item_id_dropout=0.3)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.01), metrics=[])
    columns = query(hour) | item(taken, price[taken])
    model.fit(tf.data.Dataset.from_tensor_slices(columns).batch(256, drop_remainder=True), epochs=3, verbose=0)
    unknown = item(np.full(2, OUT_OF_VOCABULARY), np.array([-1.5, 1.5]))
    scores = model.query_encoder(query(np.arange(2))).numpy() @ model.candidate_encoder(unknown).numpy().T
    assert scores[0, 0] > scores[0, 1] + 0.3 and scores[1, 1] > scores[1, 0] + 0.3, scores
