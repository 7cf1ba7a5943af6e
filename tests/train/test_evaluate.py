import dataclasses
import io
import json

import fsspec
import made_shop
import numpy as np
import pytest

from contracts.artifacts import Zones, read_json, write_manifest
from contracts.errors import ArtifactError, GateError
from train import evaluate, item_item, tables
from train.baselines import QUICK
from train.evaluate import Judged, Relevant, judge

CUT = 55 * 86_400_000


@pytest.fixture(scope="module")
def shop(world):
    """The shop with a refitted item-item table."""
    held = tables.catalogue(world.config, world.zones)
    users, items = tables.first_interactions(world.zones, held, CUT)
    codes, weights = item_item.neighbours(users, items, held.size, 5.0, 20)
    buffer = io.BytesIO()
    np.savez(buffer, neighbours=codes, weights=weights)
    filesystem, path = fsspec.core.url_to_fs(f"{world.zones.retrieval}/refit/item_item.npz")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, buffer.getvalue())
    return world


def answer(world, lists, release="r1"):
    """Write answers: user number -> item ids for the served list; the other lists are the reverse."""
    names = [f"u{n:03d}" for n in range(made_shop.USERS)]
    served = [lists(n) for n in range(made_shop.USERS)]
    worse = [list(reversed(ids)) for ids in served]
    table = {"request_id": names, "item_ids": served, "two_tower_ids": worse, "candidate_ids": worse}
    # In another order than the requests, as several writers would.
    order = np.random.default_rng(1).permutation(len(names))
    made_shop.write(
        f"{world.zones.answers}/answers.parquet", {key: [column[i] for i in order] for key, column in table.items()}
    )
    write_manifest(world.zones.answers, f"answers-{release}", release=release)


def own_group(number):
    """All items of the user's group, seen ones too."""
    return [f"i{n:02d}" for n in range(number % 4, 60, 4)]


def test_good_answers_pass_the_gate_and_the_document_says_all(shop):
    held = tables.catalogue(shop.config, shop.zones)
    users, items = tables.first_interactions(shop.zones, held, CUT)
    seen = set(zip(held.user_ids[users].tolist(), held.item_ids[items].tolist()))

    def unseen(number):
        return [item for item in own_group(number) if (f"u{number:03d}", item) not in seen]

    answer(shop, unseen)
    figures = evaluate.run(shop.config, shop.zones)
    document = read_json(f"{shop.zones.answers}/evaluation.json")
    assert document["gate"] == {"passed": True, "reasons": []}
    assert document["release"] == figures["release"] == "r1"
    assert set(document["metrics_at_10"]) == {*evaluate.ANSWERED, *QUICK, "item_item"}
    served = document["metrics_at_10"]["served"]["ndcg"]
    assert served["interval"][0] < served["mean"] < served["interval"][1]
    assert figures["ndcg_at_10"] > 1.5 * figures["ndcg_at_10_popular"]
    assert document["compared"]["served_vs_popular"]["ratio_interval"][0] > 1.1
    # The item-item table knows the groups as well.
    assert document["metrics_at_10"]["item_item"]["ndcg"]["mean"] > 1.5 * figures["ndcg_at_10_popular"]
    assert fsspec.open(f"{shop.zones.answers}/evaluation.png").open().read(4) == b"\x89PNG"
    assert evaluate.run(shop.config, shop.zones)["skipped"]


def test_bad_answers_are_refused_with_the_figure_and_the_document_is_written_all_the_same(shop):
    answer(shop, lambda number: own_group(number + 1)[:10], release="r2")
    with pytest.raises(GateError, match=r"ndcg_at_10 of the answers is 0\.0\d+.*gate asks for 1\.1"):
        evaluate.run(shop.config, shop.zones)
    document = read_json(f"{shop.zones.answers}/evaluation.json")
    assert document["release"] == "r2"
    assert not document["gate"]["passed"]
    # The refusal stands when nothing changed.
    with pytest.raises(GateError):
        evaluate.run(shop.config, shop.zones)


def test_a_request_without_an_answer_is_an_error_and_no_better_mean(shop):
    answer(shop, own_group, release="r3")
    path = f"{shop.zones.answers}/answers.parquet"
    table = tables.read(path, ["request_id", *evaluate.ANSWERED.values()])
    made_shop.write(path, table.slice(1).to_pydict())
    with pytest.raises(ArtifactError, match="1 requests without one"):
        evaluate.run(shop.config, shop.zones)


def test_lists_are_matched_to_users_and_truth_by_name(shop):
    held = tables.catalogue(shop.config, shop.zones)
    answer(shop, lambda number: [f"i{number % 60:02d}", "not-of-the-catalogue"], release="r4")
    judged = evaluate.answered(shop.zones, held)
    lists, relevant = judged.lists, judged.relevant
    truth = tables.read(f"{shop.zones.features}/truth.parquet", ["user_id", "item_codes"]).to_pydict()
    taken = {user: codes for user, codes in zip(truth["user_id"], truth["item_codes"]) if codes}
    assert judged.user_ids.tolist() == judged.request_ids.tolist() == sorted(taken)
    assert relevant.number.tolist() == [len(taken[user]) for user in judged.user_ids]
    for row, user in enumerate(judged.user_ids):
        number = int(user[1:])
        assert lists["served"][row].tolist() == [number % 60 + 3] + [0] * 9
        assert relevant.hits(lists["served"])[row].tolist() == [number % 60 + 3 in taken[user]] + [False] * 9


def test_a_user_may_have_several_requests_each_with_its_own_truth_and_answer(shop, tmp_path):
    zone = Zones(str(tmp_path))
    asked = {"request_id": ["u1-noon", "u1-night", "u2-noon", "u2-cold"], "kind": ["test"] * 3 + ["cold"]}
    made_shop.write(f"{zone.features}/requests.parquet", asked)
    truth = {"request_id": ["u2-noon", "u1-night", "u1-noon"], "user_id": ["u2", "u1", "u1"]}
    made_shop.write(f"{zone.features}/truth.parquet", {**truth, "item_codes": [[5], [4], [3]]})
    lists = {name: [["i00"], ["i01"], ["i01"], ["i02"]] for name in evaluate.ANSWERED.values()}
    made_shop.write(f"{zone.answers}/answers.parquet", {"request_id": asked["request_id"], **lists})
    judged = evaluate.answered(zone, tables.catalogue(shop.config, shop.zones))
    assert judged.request_ids.tolist() == ["u1-night", "u1-noon", "u2-noon"]
    assert judged.user_ids.tolist() == ["u1", "u1", "u2"]
    assert judged.relevant.hits(judged.lists["served"])[:, 0].tolist() == [True, True, False]


def test_the_gate_compares_means_and_names_both(shop):
    relevant = Relevant(keys=np.array([5, 105]), number=np.array([1, 1]), items=100)
    judged = Judged(np.array(["r1", "r2"]), np.array(["u1", "u2"]), {}, relevant)
    good, bad = np.array([[5, 0], [5, 0]]), np.array([[1, 5], [1, 5]])
    lists = {name: np.pad(bad, ((0, 0), (0, 8))) for name in ("two_tower", "retrieval_order", "popular", "item_item")}
    better = judge(lists | {"served": np.pad(good, ((0, 0), (0, 8)))}, judged, shop.config)
    assert better["gate"]["passed"]
    assert better["ratio"] == pytest.approx(np.log2(3), abs=1e-4)
    equal = judge(lists | {"served": lists["popular"]}, judged, shop.config)
    assert equal["gate"]["passed"] is False
    assert "0.6309, 1.000 of most-popular's 0.6309" in equal["gate"]["reasons"][0]
    lower = dataclasses.replace(shop.config, serve=dataclasses.replace(shop.config.serve, gate_min_ratio=1.0))
    assert judge(lists | {"served": lists["popular"]}, judged, lower)["gate"]["passed"]
    json.dumps(better)
