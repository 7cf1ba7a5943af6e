import dataclasses
import io
import shutil

import fsspec
import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
from made_shop import DAY, ENDS, GROUPS, write

from contracts.artifacts import read_json, read_manifest, resident, write_json, write_manifest
from contracts.blending import recent_weights
from contracts.errors import ArtifactError, GateError
from train import retrieval, update
from train.tables import catalogue

#: The cut of the next day, and what is new on it: an item of group 0, and a user of group 2.
CUT, NEW_ITEM, NEW_USER = ENDS["cut"] + 2 * DAY, 63, 153


@pytest.fixture(scope="module")
def shop(world, tmp_path_factory):
    """A shop that was fitted until its cut, two days later; steps are as large as a small shop needs."""
    retrieval.run(world.config, world.zones, "fit")  # there already, where other tests have asked for it
    root = tmp_path_factory.mktemp("shop") / world.config.name
    shutil.copytree(world.zones.root, root)
    zones = type(world.zones)(str(root))
    retrieval.run(world.config, zones, "refit")
    train = dataclasses.replace(world.config.train, update_learning_rate=0.01)
    shop = dataclasses.replace(world, config=dataclasses.replace(world.config, train=train), zones=zones)
    two_days_pass(shop)
    return shop


@pytest.fixture(scope="module")
def updated(shop):
    """The shop after its update."""
    update.run(shop.config, shop.zones)
    return shop


def two_days_pass(shop):
    """The etl's work: codes of what is new behind those that there were, and the rows of the two days."""
    features = shop.zones.features
    known = read_json(f"{features}/encodings.json")
    added = {"item_id": [*known["item_id"], "i60"], "user_id": [*known["user_id"], "today"]}
    write_json(f"{features}/encodings.json", known | added)
    items = pq.read_table(f"{features}/items.parquet").to_pydict()
    today = {"item_id": "i60", "item_code": NEW_ITEM, "department": "d0", "department_code": 3, "price": 0.5}
    write(f"{features}/items.parquet", {name: [*values, today[name]] for name, values in items.items()})
    rows = [*known_users(), *newcomer()]
    table = {name: [row[name] for row in rows] for name in rows[0]}
    write(f"{features}/rows/window=new/part-0.parquet", table)
    write_manifest(shop.zones.processed, "processed-2", **ENDS | {"cut": CUT})
    write_manifest(features, "features-2")


def row(user, time, recent, taken):
    return {
        "row_id": 0,
        "user_id": user,
        "segment": "a",
        "as_of": time,
        "recent_item_codes": recent,
        "recent_event_times": [time - DAY] * len(recent),
        "seen_item_codes": recent,
        "target_item_codes": taken,
    }


def known_users():
    """Half of group 0 take the new item, among other things; the other groups take what they ever took."""
    generator = np.random.default_rng(4)
    for user in range(120):
        own = generator.permutation(15)[:4] * GROUPS + user % GROUPS + 3
        new = [NEW_ITEM] if user % 8 == 0 else []
        yield row(f"u{user:03d}", ENDS["cut"] + user, own[:2].tolist(), [*own[2:].tolist(), *new])


def newcomer():
    """Three visits of somebody of group 2 whom nobody knew."""
    taken = [5, 9, 13, 17, 21, 25]
    for visit in range(3):
        yield row("today", ENDS["cut"] + DAY + visit, taken[: 2 * visit][::-1], taken[2 * visit : 2 * visit + 2])


class Served:
    """Retrieval as a release would hold it."""

    def __init__(self, zone):
        self.items = np.load(io.BytesIO(fsspec.open(f"{zone}/item_embeddings.npy").open().read()), allow_pickle=False)
        self.tower = onnxruntime.InferenceSession(fsspec.open(f"{zone}/query_tower.onnx").open().read())

    def ranked(self, user, recent):
        """Item codes, the best first."""
        recent = np.array([recent + [0] * (8 - len(recent))])
        weights = np.where(recent > 0, recent_weights(np.full(recent.shape, DAY), 720.0), 0).astype(np.float32)
        inputs = {"user_codes": np.array([[user, 3]]), "recent_items": recent, "recent_weights": weights}
        return np.argsort(-(self.items @ self.tower.run(None, inputs)[0][0])) + 3


def test_an_item_of_today_is_recommended_to_whom_it_suits_and_to_nobody_else(updated):
    served = Served(resident(updated.zones))
    places = [list(served.ranked(2, [3 + g, 7 + g, 11 + g])).index(NEW_ITEM) for g in range(GROUPS)]
    assert places[0] < 20 < min(places[1:]), places


def test_a_user_of_today_is_served_as_himself(updated):
    before, after = (Served(f"{updated.zones.retrieval}/{kind}") for kind in ("refit", "update"))
    unknown, himself = before.ranked(2, [])[:15], after.ranked(NEW_USER, [])[:15]
    share = [(updated.group_of_item(first) == 2).mean() for first in (unknown, himself)]
    assert share[1] > max(0.5, share[0]), share


def test_what_was_known_is_kept_within_a_tenth_and_what_is_new_is_gained(updated):
    quality = read_manifest(f"{updated.zones.retrieval}/update")["quality"]
    old, new = quality["old"], quality["new"]
    assert old["after"]["ndcg_at_10"] >= 0.9 * old["before"]["ndcg_at_10"] > 0
    assert new["after"]["ndcg_at_10"] > new["before"]["ndcg_at_10"]


def test_the_manifest_says_what_was_learned_from_when_to_when(updated):
    facts, refit = (read_manifest(f"{updated.zones.retrieval}/{kind}") for kind in ("update", "refit"))
    assert (facts["learned_from"], facts["fitted_until"]) == (refit["fitted_until"], CUT) == (ENDS["cut"], CUT)
    assert facts["added"] == {"user_id": 1, "segment": 0, "item_id": 1, "department": 0}
    assert facts["follows"] == refit["fingerprint"]


def test_old_rows_are_also_those_that_earlier_updates_learned(updated):
    everything = dataclasses.replace(
        updated.config, train=dataclasses.replace(updated.config.train, update_replay=10**6)
    )
    held = catalogue(everything, updated.zones)
    # On the second day only the newcomer came, who did not take the new item.
    learned = update.mixed(everything, updated.zones, held, ENDS["cut"] + DAY)
    assert NEW_ITEM in learned.item and len(learned.queries.user_codes) > 3 * 120


def test_the_item_item_table_knows_the_new_item(updated):
    with fsspec.open(f"{resident(updated.zones)}/item_item.npz") as file:
        table = np.load(io.BytesIO(file.read()), allow_pickle=False)
    assert len(table["neighbours"]) == 61


def test_nothing_new_changes_nothing(updated):
    before = read_manifest(resident(updated.zones))
    assert update.run(updated.config, updated.zones) == {**before, "skipped": True}


def test_a_newer_refit_takes_the_place_of_the_update(updated, tmp_path):
    zone = dataclasses.replace(updated.zones, root=str(tmp_path / "shop"))
    shutil.copytree(updated.zones.retrieval, zone.retrieval)
    assert resident(zone).endswith("/update")
    write_manifest(f"{zone.retrieval}/refit", "made anew", fitted_until=CUT)
    assert resident(zone).endswith("/refit")


def test_a_model_that_forgets_too_much_is_refused_and_the_old_one_stays(shop, tmp_path):
    zone = dataclasses.replace(shop.zones, root=str(tmp_path / "shop"))
    shutil.copytree(shop.zones.root, zone.root, ignore=shutil.ignore_patterns("update"))
    wild = dataclasses.replace(shop.config.train, update_learning_rate=10.0, update_replay=0)
    with pytest.raises(GateError, match="ndcg_at_10 on rows learned before fell from"):
        update.run(dataclasses.replace(shop.config, train=wild), zone)
    assert resident(zone).endswith("/refit")


@pytest.mark.parametrize("since", [CUT - 8 * DAY, CUT + DAY])
def test_a_model_too_old_or_of_the_future_is_refused_with_what_to_do(shop, since):
    with pytest.raises(ArtifactError, match="expected more than 0 and at most train.update_days = 7: run"):
        update.check_reach(shop.config, "refit", since, CUT)
