import dataclasses
import io

import fsspec
import numpy as np
import pytest
from made_answers import answer, own_group, unseen

from contracts.artifacts import read_json
from contracts.errors import GateError
from train import evaluate, item_item, tables
from train.baselines import QUICK
from train.judged import ANSWERED
from train.metrics import best

CUT = 55 * 86_400_000


@pytest.fixture(scope="module")
def shop(world):
    """The shop with a refitted item-item table."""
    held = tables.catalogue(world.config, world.zones)
    users, items = tables.first_interactions(world.zones, held, CUT)
    codes, weights = item_item.neighbours(users, items, held.size, 5.0, 0.0, 20, held.size)
    buffer = io.BytesIO()
    np.savez(buffer, neighbours=codes, weights=weights)
    filesystem, path = fsspec.core.url_to_fs(f"{world.zones.retrieval}/refit/item_item.npz")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, buffer.getvalue())
    return world


def content(zones, name):
    with fsspec.open(f"{zones.answers}/{name}") as file:
        return file.read()


def test_good_answers_pass_the_gate_and_the_document_says_all(shop):
    answer(shop, unseen(shop), current=lambda number: own_group(number)[::2])
    figures = evaluate.run(shop.config, shop.zones)
    document = read_json(f"{shop.zones.answers}/evaluation.json")
    assert document["gate"]["passed"] and document["gate"]["reasons"] == []
    assert all(check["passed"] for check in document["gate"]["checks"])
    assert document["release"] == figures["release"] == "r1"
    assert set(document["metrics_at_10"]) == {*ANSWERED, *QUICK, "current", "item_item"}
    served = document["metrics_at_10"]["served"]["ndcg"]
    assert served["interval"][0] < served["mean"] < served["interval"][1]
    assert figures["ndcg_at_10"] > 1.5 * figures["ndcg_at_10_popular"]
    assert document["compared"]["served_vs_popular"]["ratio_interval"][0] > 1.1
    assert document["compared"]["served_vs_current"]["difference_interval"][0] > 0
    # The item-item table knows the groups as well.
    assert document["metrics_at_10"]["item_item"]["ndcg"]["mean"] > 1.5 * figures["ndcg_at_10_popular"]
    assert {part["group"] for part in document["slices"]} == {"users", "items", "region", "segment"}
    assert [point["known_events"] for point in document["cold_start"]] == [0, 1, 3, 5, 10]
    assert document["exposure_at_10"]["trending"]["coverage"] < document["exposure_at_10"]["served"]["coverage"]
    assert evaluate.run(shop.config, shop.zones)["skipped"]


def test_the_page_holds_every_chart_and_loads_nothing(shop):
    answer(shop, unseen(shop), release="r1-page", current=lambda number: own_group(number))
    evaluate.run(shop.config, shop.zones)
    page = content(shop.zones, "evaluation.html").decode()
    for chart in ("lists", "cold-start", "slices", "reliability"):
        assert content(shop.zones, f"evaluation-{chart}.png")[:4] == b"\x89PNG"
    assert page.count("<img") == page.count("data:image/png;base64,") >= 4
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert "gate.max_slice_loss" in page and "region: unknown" in page


def test_bad_answers_are_refused_with_the_figure_and_the_document_is_written_all_the_same(shop):
    answer(shop, lambda number: own_group(number + 1)[:10], release="r2")
    with pytest.raises(GateError, match=r"ndcg_at_10 of the answers is 0\.0\d+.*asks for a ratio of 1\.1 at least"):
        evaluate.run(shop.config, shop.zones)
    document = read_json(f"{shop.zones.answers}/evaluation.json")
    assert document["release"] == "r2"
    assert not document["gate"]["passed"]
    # The refusal stands when nothing changed.
    with pytest.raises(GateError):
        evaluate.run(shop.config, shop.zones)


def test_answers_worse_than_the_current_release_s_are_refused_though_they_beat_popularity(shop):
    best = unseen(shop)
    answer(shop, lambda number: [*own_group(number + 1)[:1], *best(number)], release="r3", current=best)
    with pytest.raises(GateError, match=r"against the current release: .*r0.*gate\.max_loss"):
        evaluate.run(shop.config, shop.zones)
    reasons = read_json(f"{shop.zones.answers}/evaluation.json")["gate"]["reasons"]
    assert not any("most-popular" in reason for reason in reasons)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_model_that_learned_shuffled_labels_is_refused_and_the_same_one_with_its_own_labels_is_not(shop, shuffled):
    """Item-item, fitted as a release's is: once on what users took, once on that shuffled among them."""
    held = tables.catalogue(shop.config, shop.zones)
    users, items = tables.first_interactions(shop.zones, held, CUT)
    learned = np.random.default_rng(4).permutation(items) if shuffled else items
    weights = item_item.ease(users, learned, held.size, 5.0)
    taken = np.zeros((len(held.user_ids), held.size), np.float32)
    taken[users, items] = 1.0
    listed = best(taken @ weights, taken > 0)
    answer(
        shop,
        lambda number: [held.item_ids[place] for place in listed[number] if place >= 0],
        release=f"r4-{shuffled}",
        current=unseen(shop),
    )
    if not shuffled:
        # The current release lists by the planted groups themselves, which none that learns can exceed.
        settings = dataclasses.replace(shop.config.gate, max_loss=0.5, max_slice_loss=0.5)
        assert evaluate.run(dataclasses.replace(shop.config, gate=settings), shop.zones)["ratio"] > 1.5
        return
    # By luck such lists may beat most-popular here: what is served already is the bar that does not depend on luck.
    with pytest.raises(GateError, match=r"against the current release: .*\(gate\.max_loss\).*\(gate\.max_slice_loss\)"):
        evaluate.run(shop.config, shop.zones)
