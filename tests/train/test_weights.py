import dataclasses

import numpy as np
import pytest

from contracts.artifacts import read_json, read_manifest, write_json
from contracts.errors import ArtifactError
from contracts.features import OUT_OF_VOCABULARY
from train import pairs, retrieval, weights
from train.retrieval import Lesson
from train.tables import catalogue


@pytest.fixture(scope="module")
def trained(world):
    """The arrays of a whole ``--fit``."""
    retrieval.run(world.config, world.zones, "fit")
    return weights.load(world.zones, f"{world.zones.retrieval}/fit")


def built(config, held, start):
    learned = pairs.Pairs(pairs.blank(config), np.zeros(1, np.int64), np.array([3]))
    return retrieval.build(config, held, Lesson(learned, None, 1, start))


def test_a_restored_model_is_the_model_that_was_trained(world, trained):
    held = catalogue(world.config, world.zones)
    embeddings = retrieval.item_embeddings(built(world.config, held, trained), held)
    saved = np.load(f"{world.zones.retrieval}/fit/item_embeddings.npy", allow_pickle=False)
    np.testing.assert_array_equal(embeddings, saved)


def test_a_grown_model_answers_the_known_as_before_and_the_new_as_the_unknown(world, trained):
    held = catalogue(world.config, world.zones)
    more = np.append(held.item_codes["item_id"], np.arange(63, 68))
    codes = {"item_id": more, "department": np.append(held.item_codes["department"], [3, 4, 5, 6, 7])}
    sizes = {"user_id": held.query_sizes["user_id"] + 7, "segment": held.query_sizes["segment"]}
    names = np.append(held.item_ids, [f"new-{i}" for i in range(5)])
    prices = {"price": np.append(held.item_numbers["price"], np.zeros(5, np.float32))}
    grown = dataclasses.replace(held, item_ids=names, item_codes=codes, item_numbers=prices, query_sizes=sizes)
    model = built(world.config, grown, trained)
    before = built(world.config, held, trained)
    np.testing.assert_array_equal(retrieval.item_embeddings(model, grown)[:60], retrieval.item_embeddings(before, held))
    query = pairs.blank(world.config)
    unknown = model.query_encoder(retrieval.query_inputs(query, ("user_id", "segment"))).numpy()
    newcomer = np.array([[held.query_sizes["user_id"] + 6, OUT_OF_VOCABULARY]])
    asked = retrieval.query_inputs(dataclasses.replace(query, user_codes=newcomer), ("user_id", "segment"))
    np.testing.assert_array_equal(model.query_encoder(asked).numpy(), unknown)


def test_a_model_of_another_shape_is_refused_with_what_to_do(world, trained):
    held = catalogue(world.config, world.zones)
    other = dataclasses.replace(world.config, train=dataclasses.replace(world.config.train, embedding_dim=8))
    with pytest.raises(ArtifactError, match="expected a trained model with arrays like .* --refit"):
        built(other, held, trained)


def test_renumbered_codes_are_refused_and_added_ones_are_not(world, trained):
    url, zone = f"{world.zones.features}/encodings.json", f"{world.zones.retrieval}/fit"
    known = read_json(url)
    assert read_manifest(zone)["codes"]["item_id"][0] == 60
    try:
        write_json(url, known | {"item_id": [*known["item_id"], "new"]})
        weights.load(world.zones, zone)
        write_json(url, known | {"item_id": known["item_id"][::-1]})
        with pytest.raises(ArtifactError, match="expected the 60 codes of item_id"):
            weights.load(world.zones, zone)
    finally:
        write_json(url, known)
