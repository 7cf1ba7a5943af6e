import dataclasses
import io
import shutil
from collections import Counter

import fsspec
import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from contracts.artifacts import Zones, read_json, read_manifest, write_json
from contracts.request_context import FIXED, Clock, raw_values
from train import inputs, pairs, retrieval, sequences, tables
from train.attention import CONTEXT, SEQUENCE, TARGET, TOKEN, SequenceTwoTower
from train.towers import RECENT_ITEMS, RECENT_WEIGHTS, Shape, two_tower

ITEMS, RECENT, USERS = 33, 6, 400
RING = ITEMS - 3
SHAPE = Shape({"user_id": 5, "segment": 5}, {"item_id": ITEMS, "department": 6}, RECENT, 16)
CODES = {"item_id": np.arange(ITEMS), "department": np.arange(ITEMS) % 6}


def walks(generator: np.random.Generator) -> np.ndarray:
    """Half the users go up a ring of items and half go down, item codes int64 ``[users, RECENT + 1]`` oldest first.

    Which items somebody took does not tell where he goes: only their order does.
    """
    start = generator.integers(0, RING, USERS)[:, None]
    direction = generator.choice([-1, 1], USERS)[:, None]
    return (start + direction * np.arange(RECENT + 1)) % RING + 3


def queries(recent: np.ndarray) -> dict[str, np.ndarray]:
    size = len(recent)
    columns = {"user_id": np.full((size, 1), 2), "segment": np.full((size, 1), 3), RECENT_ITEMS: recent}
    return columns | {RECENT_WEIGHTS: (recent > 0).astype(np.float32)}


def found_first(model: SequenceTwoTower, walk: np.ndarray) -> float:
    """How often the best item of all is the one that comes next."""
    codes = np.arange(3, ITEMS)
    items = model.candidate_encoder({"item_id": codes[:, None], "department": codes[:, None] % 6}).numpy()
    scores = model.query_encoder(queries(walk[:, :-1][:, ::-1])).numpy() @ items.T
    return float((codes[scores.argmax(axis=1)] == walk[:, -1]).mean())


def test_attention_finds_the_planted_order():
    tf.keras.utils.set_random_seed(5)
    walk, unseen = walks(np.random.default_rng(1)), walks(np.random.default_rng(2))
    newest_first = walk[:, :-1][:, ::-1].copy()
    model = SequenceTwoTower(SHAPE, CODES)
    token = np.tile(np.arange(RECENT), 50)
    taken = np.concatenate([walk[:, 1:][:, ::-1]])

    def epochs():
        for start in range(0, USERS, 50):
            rows = slice(start, start + 50)
            pair = {SEQUENCE: np.repeat(np.arange(50), RECENT), TOKEN: token, TARGET: taken[rows].ravel()}
            yield queries(newest_first[rows]) | pair

    signature = {name: tf.TensorSpec([None] * value.ndim, value.dtype) for name, value in next(epochs()).items()}
    batches = tf.data.Dataset.from_generator(epochs, output_signature=signature)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.01), metrics=[])
    model.fit(batches, epochs=8, verbose=0)
    assert found_first(model, unseen) > 0.95


def test_pooling_cannot_tell_one_order_from_another_of_equal_age():
    tower = two_tower(SHAPE, np.ones(ITEMS), 0.1).query_encoder
    up = walks(np.random.default_rng(1))[:5, :-1]
    np.testing.assert_allclose(tower(queries(up)).numpy(), tower(queries(up[:, ::-1].copy())).numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def untrained():
    tf.keras.utils.set_random_seed(3)
    model = SequenceTwoTower(SHAPE, CODES)
    model.query_encoder(queries(np.zeros((1, RECENT), np.int64)))
    for weight in model.trainable_variables:
        weight.assign(tf.random.normal(weight.shape, stddev=0.3))
    return model


def test_the_state_of_a_token_is_the_served_query_of_its_prefix(untrained):
    generator = np.random.default_rng(6)
    whole = np.zeros((4, RECENT), np.int64)
    for row, length in enumerate((RECENT, 4, 1, 0)):
        whole[row, :length] = generator.integers(2, ITEMS, length)
    states = untrained.states(whole).numpy()
    for token in range(RECENT):
        prefix = np.zeros_like(whole)
        prefix[:, : RECENT - token] = whole[:, token:]
        np.testing.assert_allclose(untrained.states(prefix)[:, 0], states[:, token], atol=1e-5)
    assert (states[3] == 0).all(), "who did nothing has no state, as behind the oldest interaction"


def test_the_loss_of_a_batch_is_the_softmax_of_served_queries_over_the_catalogue(untrained):
    recent = np.array([[7, 9, 4, 0, 0, 0], [12, 0, 0, 0, 0, 0]])
    pair = {SEQUENCE: np.array([0, 0, 1]), TOKEN: np.array([0, 2, 1]), TARGET: np.array([5, 9, 30])}
    prefixes = np.array([[7, 9, 4, 0, 0, 0], [4, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    codes = np.arange(3, ITEMS)
    items = untrained.candidate_encoder({"item_id": codes[:, None], "department": codes[:, None] % 6}).numpy()
    scores = untrained.query_encoder(queries(prefixes)).numpy() @ items.T
    chance = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(chance[np.arange(3), pair[TARGET] - 3]).mean()
    assert untrained.pair_loss(queries(recent) | pair, training=False).numpy() == pytest.approx(expected, rel=1e-4)


def test_each_pair_of_a_sequence_is_learned_in_the_context_in_which_it_was_taken():
    """One sequence, three requests at other hours: the loss is that of the served queries at those hours."""
    shape = dataclasses.replace(
        SHAPE, user_columns={**SHAPE.user_columns, "hour": 9}, item_numbers=("price",), context=("hour",)
    )
    columns = CODES | {"price": np.linspace(-1, 1, ITEMS).astype(np.float32)}
    model = SequenceTwoTower(shape, columns)
    recent, hours = np.array([[7, 9, 4, 0, 0, 0]]), np.array([3, 8, 5])
    prefixes = np.array([[7, 9, 4, 0, 0, 0], [4, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    served = queries(prefixes) | {"hour": hours[:, None]}
    model.query_encoder(served)
    for weight in model.trainable_variables:
        weight.assign(tf.random.normal(weight.shape, stddev=0.3, seed=1))
    pair = {SEQUENCE: np.array([0, 0, 0]), TOKEN: np.array([0, 2, 3]), TARGET: np.array([5, 9, 30])}
    pair |= {CONTEXT: hours[:, None], "hour": np.array([[3]])}
    items = model.candidate_encoder({name: values[3:, None] for name, values in columns.items()}).numpy()
    scores = model.query_encoder(served).numpy() @ items.T
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(3), pair[TARGET] - 3]
    assert model.pair_loss(queries(recent) | pair, training=False).numpy() == pytest.approx(losses.mean(), rel=1e-4)
    # With all of them at the hour of the newest it would be another.
    assert np.abs(scores - model.query_encoder(served | {"hour": np.full((3, 1), 3)}).numpy() @ items.T).max() > 0.1


def test_what_lies_after_a_token_and_padding_say_nothing_about_it(untrained):
    one = np.array([[5, 9, 11, 0, 0, 0]])
    other = np.array([[30, 9, 11, 0, 0, 0]])
    np.testing.assert_array_equal(untrained.states(one)[:, 1:], untrained.states(other)[:, 1:])
    assert np.abs(untrained.states(one)[:, 0] - untrained.states(other)[:, 0]).max() > 1e-3
    np.testing.assert_allclose(untrained.states(one[:, :3]), untrained.states(one)[:, :3], atol=1e-5)


def test_rows_are_covered_by_later_rows_that_hold_their_recent_items(world):
    """The newest item of every pair's prefix, by its sequence and token, is what its own row says."""
    held = tables.catalogue(world.config, world.zones)
    learned = sequences.load(world.config, world.zones, held, ("A", "B"))
    by_row = pairs.load(world.config, world.zones, held, ("A", "B"))

    newest = learned.queries.recent_items[learned.sequence, learned.token]
    users = learned.queries.user_codes[learned.sequence, 0]
    rows = by_row.queries
    own = zip(rows.recent_items[by_row.row, 0].tolist(), rows.user_codes[by_row.row, 0].tolist(), by_row.item.tolist())
    assert sorted(zip(newest.tolist(), users.tolist(), learned.item.tolist())) == sorted(own)
    assert (np.diff(learned.sequence) >= 0).all()
    assert len(learned.queries.user_codes) < len(rows.user_codes) / 2


def test_the_context_of_a_pair_is_that_of_the_row_in_which_it_was_taken(world, tmp_path):
    zone = Zones(str(tmp_path / "shop"))
    shutil.copytree(world.zones.features, zone.features)
    path = f"{zone.features}/rows/window=A/part-0.parquet"
    table = pq.read_table(path)
    hours = raw_values(("hour",), [], table["as_of"].to_numpy(), Clock("Asia/Tokyo", 0))["hour"]
    pq.write_table(table.append_column("hour", pa.array(hours, pa.string())), path)
    write_json(f"{zone.features}/encodings.json", read_json(f"{zone.features}/encodings.json") | FIXED)
    config = dataclasses.replace(world.config, features=dataclasses.replace(world.config.features, context=("hour",)))
    held = tables.catalogue(config, zone)
    learned, by_row = (module.load(config, zone, held, ("A",)) for module in (sequences, pairs))
    newest = learned.queries.recent_items[learned.sequence, learned.token]
    found = zip(newest.tolist(), learned.item.tolist(), learned.context.tolist())
    rows = by_row.queries
    own = zip(rows.recent_items[by_row.row, 0].tolist(), by_row.item.tolist(), rows.user_codes[by_row.row, 2:].tolist())
    assert sorted(found) == sorted(own)
    assert len({*map(tuple, learned.context.tolist())}) > 20
    batch = next(inputs.batches(config, held, learned, 1)[0].as_numpy_iterator())
    assert batch[CONTEXT].shape == (len(batch[TARGET]), 1) and "hour" in batch
    before = batch[RECENT_ITEMS][batch[SEQUENCE], np.minimum(batch[TOKEN], batch[RECENT_ITEMS].shape[1] - 1)]
    assert {*zip(before.tolist(), batch[TARGET].tolist(), map(tuple, batch[CONTEXT].tolist()))} <= {
        (item, target, tuple(codes)) for item, target, codes in zip(newest, learned.item, learned.context.tolist())
    }


def test_an_epoch_shows_each_pair_once_in_whole_sequences(world):
    held = tables.catalogue(world.config, world.zones)
    learned = sequences.load(world.config, world.zones, held, ("A",))
    train = dataclasses.replace(world.config.train, query_encoder="attention", retrieval_batch=100)
    batches, steps = inputs.batches(dataclasses.replace(world.config, train=train), held, learned, 1)
    told = list(batches.as_numpy_iterator())
    seen = Counter(
        (*batch[RECENT_ITEMS][sequence].tolist()[token:][:1], item)
        for batch in told
        for sequence, token, item in zip(batch[SEQUENCE], batch[TOKEN], batch[TARGET])
    )
    recent = learned.queries.recent_items[learned.sequence]
    there = Counter((*row[token:][:1], item) for row, token, item in zip(recent.tolist(), learned.token, learned.item))
    assert seen <= there and len(told) == steps == learned.steps(100)
    # Fewer sequences than there are batches are left over.
    assert sum(len(batch[RECENT_ITEMS]) for batch in told) > learned.number - steps
    assert sum(seen.values()) > 0.9 * len(learned.item)


@pytest.fixture(scope="module")
def fitted(world, tmp_path_factory):
    """The zone of a whole ``--fit`` with attention, beside the world's own."""
    train = dataclasses.replace(world.config.train, query_encoder="attention", retrieval_epochs=8, retrieval_batch=256)
    config = dataclasses.replace(world.config, train=train)
    zone = Zones(str(tmp_path_factory.mktemp("attention") / "shop"))
    shutil.copytree(world.zones.features, zone.features)
    shutil.copytree(world.zones.processed, zone.processed)
    retrieval.run(config, zone, "fit", force=True)
    return f"{zone.retrieval}/fit"


def test_a_user_unknown_to_the_model_is_served_by_what_he_took_through_onnx(world, fitted):
    tower = onnxruntime.InferenceSession(fsspec.open(f"{fitted}/query_tower.onnx").open().read())
    embeddings = np.load(io.BytesIO(fsspec.open(f"{fitted}/item_embeddings.npy").open().read()), allow_pickle=False)
    facts = read_manifest(fitted)
    assert facts["onnx_error"] <= 1e-5
    assert facts["losses"][-1] < facts["losses"][0]
    hits = []
    for group in range(4):
        recent = np.array([[3 + group, 7 + group, 11 + group, 0, 0, 0, 0, 0]])
        inputs = {
            "user_codes": np.array([[2, 3]]),
            "recent_items": recent,
            "recent_weights": (recent > 0).astype(np.float32),
        }
        (query,) = tower.run(["query_embedding"], inputs)
        first = np.argsort(-(embeddings @ query[0]))[:15] + 3
        hits.append((world.group_of_item(first) == group).mean())
    assert min(hits) > 0.7, hits
