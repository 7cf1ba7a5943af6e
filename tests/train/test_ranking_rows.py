import dataclasses

import made_shop
import numpy as np
import pyarrow.parquet as pq
import pytest

from contracts.errors import ArtifactError
from train import ranking_rows
from train.ranking_loss import LIST, PADDED
from train.ranking_model import LABEL, NUMBERS, SECOND, Inputs
from train.ranking_rows import Candidates

INPUTS = Inputs({"c": 9}, ("x",), np.array([0], "f4"), np.array([1], "f4"))


def made(sizes, hits):
    """Requests of given sizes whose first candidates were taken; ``x`` is the row's number."""
    request = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(request)) - np.searchsorted(request, request)
    label = (place < np.asarray(hits)[request]).astype(np.float32)
    number = np.arange(len(request))
    return Candidates(
        number[:, None] % 9, number[:, None].astype(np.float32), label, request, np.asarray(hits), label * np.nan
    )


@pytest.fixture(scope="module")
def zones(world, tmp_path_factory):
    """Candidates of their own beside the shop's features."""
    elsewhere = dataclasses.replace(world, zones=type(world.zones)(str(tmp_path_factory.mktemp("rows"))))
    made_shop.write_candidates(elsewhere, np.random.default_rng(11))
    for window in "BC":
        table = pq.read_table(f"{world.zones.features}/rows/window={window}", columns=["row_id", "target_item_codes"])
        made_shop.write(f"{elsewhere.zones.features}/rows/window={window}/part-0.parquet", table.to_pydict())
    return elsewhere.zones


def test_a_long_list_keeps_what_was_taken_and_a_short_one_is_padded():
    learned = made([5, LIST + 40], [2, 3])
    places = ranking_rows.lists(learned, seed=1)
    assert sorted(places[0]) == [-1] * (LIST - 5) + list(range(5))
    assert (places[1] >= 5).all() and len(set(places[1])) == LIST
    assert learned.label[places[1]].sum() == 3


def test_an_epoch_shows_every_request_once_each_candidate_with_its_own_features_and_label(world):
    learned = made([7, 3, 60, 61], [1, 2, 1, 4])
    settings = dataclasses.replace(world.config.train, ranker_batch=2 * LIST, second_task="value")
    batches, steps = ranking_rows.batches(learned, INPUTS, settings, 2)
    told = list(batches.as_numpy_iterator())
    assert len(told) == 2 * steps
    seen = told[:steps]
    assert [len(y[LABEL]) for _, y in seen] == [2 * LIST] * 2
    x = np.concatenate([features[NUMBERS] for features, _ in seen])[:, 0]
    y = np.concatenate([targets[LABEL] for _, targets in seen])[:, 0]
    held = y != PADDED
    assert sorted(x[held]) == list(range(len(learned.label)))
    assert (y[held] == learned.label[x[held].astype(int)]).all()
    assert all(np.isnan(targets[SECOND]).all() for _, targets in seen)


def test_requests_held_out_are_not_learned_from():
    learned = made([4, 5, 6, 7], [1, 1, 2, 3])
    kept, held_out = ranking_rows.divided(learned, 0.25, seed=3)
    assert len(held_out.relevant) == 1 and len(kept.relevant) == 3
    numbers = np.concatenate([kept.continuous, held_out.continuous])[:, 0]
    assert sorted(numbers) == list(range(22))
    assert (np.bincount(kept.request) == [n for n in (4, 5, 6, 7) if n != len(held_out.label)]).all()


def test_candidates_of_other_rows_are_refused(world, zones, tmp_path):
    table = pq.read_table(f"{zones.candidates}/window=C/part-0.parquet").to_pydict()
    table["row_id"] = [row + 1_000_000 for row in table["row_id"]]
    elsewhere = type(zones)(str(tmp_path))
    made_shop.write(f"{elsewhere.candidates}/window=C/part-0.parquet", table)
    rows = pq.read_table(f"{zones.features}/rows/window=C/part-0.parquet").to_pydict()
    made_shop.write(f"{elsewhere.features}/rows/window=C/part-0.parquet", rows)
    with pytest.raises(ArtifactError, match="window=C has rows that"):
        ranking_rows.load(world.config, elsewhere, "C")


def test_candidates_of_which_none_was_taken_are_refused(world, zones, tmp_path):
    table = pq.read_table(f"{zones.candidates}/window=B/part-0.parquet").to_pydict()
    table["label"] = [0] * len(table["label"])
    elsewhere = type(zones)(str(tmp_path))
    made_shop.write(f"{elsewhere.candidates}/window=B/part-0.parquet", table)
    with pytest.raises(ArtifactError, match="0 of 3600 were"):
        ranking_rows.load(world.config, elsewhere, "B")
