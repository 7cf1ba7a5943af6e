import made_shop
import numpy as np
import pytest
from made_answers import answer, own_group

from contracts.artifacts import Zones
from contracts.errors import ArtifactError
from contracts.evaluation import Kind
from train import judged, tables


@pytest.fixture(scope="module")
def held(world):
    return tables.catalogue(world.config, world.zones)


def test_a_request_without_an_answer_is_an_error_and_no_better_mean(world, held):
    answer(world, own_group)
    path = f"{world.zones.answers}/answers.parquet"
    table = tables.read(path, ["request_id", *judged.ANSWERED.values()])
    made_shop.write(path, table.slice(1).to_pydict())
    with pytest.raises(ArtifactError, match="1 requests without one"):
        judged.lists(world.zones, held, judged.judged(world.zones, held))


def test_lists_are_matched_to_requests_and_truth_by_id(world, held):
    answer(world, lambda number: [f"i{number % 60:02d}", "not-of-the-catalogue"])
    asked = judged.judged(world.zones, held)
    served = judged.lists(world.zones, held, asked)["served"]
    truth = tables.read(f"{world.zones.features}/truth.parquet", ["request_id", "item_codes"]).to_pydict()
    taken = {name: codes for name, codes in zip(truth["request_id"], truth["item_codes"]) if codes and name[0] == "u"}
    assert asked.user_ids.tolist() == asked.request_ids.tolist() == sorted(taken)
    assert asked.relevant.number.tolist() == [len(taken[user]) for user in asked.user_ids]
    for row, user in enumerate(asked.user_ids):
        number = int(user[1:])
        assert served[row].tolist() == [number % 60 + 3] + [0] * 9
        assert asked.relevant.hits(served)[row].tolist() == [number % 60 + 3 in taken[user]] + [False] * 9


def test_a_user_may_have_several_requests_each_with_its_own_truth_and_answer(held, tmp_path):
    zone = Zones(str(tmp_path))
    asked = {"request_id": ["u1-noon", "u1-night", "u2-noon", "u2-cold"], "kind": ["test"] * 3 + ["cold"]}
    made_shop.write(f"{zone.features}/requests.parquet", asked)
    truth = {"request_id": ["u2-noon", "u1-night", "u1-noon"], "user_id": ["u2", "u1", "u1"]}
    made_shop.write(f"{zone.features}/truth.parquet", {**truth, "item_codes": [[5], [4], [3]]})
    lists = {name: [["i00"], ["i01"], ["i01"], ["i02"]] for name in judged.ANSWERED.values()}
    made_shop.write(f"{zone.answers}/answers.parquet", {"request_id": asked["request_id"], **lists})
    found = judged.judged(zone, held)
    assert found.request_ids.tolist() == ["u1-night", "u1-noon", "u2-noon"]
    assert found.user_ids.tolist() == ["u1", "u1", "u2"]
    hits = found.relevant.hits(judged.lists(zone, held, found)["served"])
    assert hits[:, 0].tolist() == [True, True, False]
    assert found.relevant.among(np.arange(63) == 4).number.tolist() == [1, 0, 0]
    with pytest.raises(ArtifactError, match="none of 1 cold requests has anything relevant"):
        judged.judged(zone, held, kind=Kind.COLD)
