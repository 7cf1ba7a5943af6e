import numpy as np
import pyarrow as pa
import pytest
from made_answers import answer, unseen

from train import judged, slices, tables
from train.population import Population
from train.slices import ItemHistory, Slice


@pytest.fixture(scope="module")
def asked(world):
    return judged.judged(world.zones, tables.catalogue(world.config, world.zones), slices.columns(world.config))


def by_name(found):
    return {(each.group, each.name): each for each in found}


def test_requests_are_cut_by_what_was_known_of_the_user_when_asked(world, asked):
    items = ItemHistory(np.ones(60), np.zeros(60, bool))
    found = by_name(slices.slices(world.config, asked, items))
    numbers = np.array([int(user[1:]) for user in asked.user_ids])
    assert found["region", "unknown"].requests.tolist() == (numbers // 2 % 2 == 0).tolist()
    assert found["region", "north"].requests.tolist() == (numbers // 2 % 2 == 1).tolist()
    both = found["segment", "a"].requests.astype(int) + found["segment", "b"].requests
    assert both.tolist() == [1] * len(numbers)
    # Nobody here is new, and nothing was never seen: slices that say nothing are left out.
    assert not {"never seen in training", "first met in the last window"} & {name for _, name in found}
    assert not any(name.startswith("new") for _, name in found)


def test_the_tail_is_the_least_popular_items_and_new_items_are_those_without_a_past(world, asked):
    interactions = np.arange(60.0)
    items = ItemHistory(interactions, interactions == 1)
    found = by_name(slices._all(world.config, asked, items))
    tail = found["items", "tail: the least popular 80%"].items
    assert np.flatnonzero(tail).tolist() == list(range(3, 51))
    assert np.flatnonzero(found["items", "head: the most popular 20%"].items).tolist() == list(range(51, 63))
    assert np.flatnonzero(found["items", "never seen in training"].items).tolist() == [3]
    assert np.flatnonzero(found["items", "first met in the last window"].items).tolist() == [4]


def test_item_history_ends_at_the_cut_and_knows_what_came_in_the_last_window(world):
    held = tables.catalogue(world.config, world.zones)
    items = slices.item_history(world.config, world.zones, held)
    log = tables.read(f"{world.zones.processed}/events", ["item_id", "event_time", "event_type"]).to_pandas()
    log = log[(log["event_time"] < 55 * 86_400_000) & (log["event_type"] == "purchase")]
    counts = log["item_id"].value_counts().reindex(held.item_ids, fill_value=0)
    assert items.interactions.tolist() == counts.tolist()
    assert not items.lately.any()


def test_a_slice_counts_its_own_requests_and_items_only():
    # Two requests; each took item 3 and item 4; the lists name one of them.
    relevant = judged.Relevant(np.array([3, 4, 103, 104]), np.array([2, 2]), 100)
    asked = judged.Judged(np.array(["a", "b"]), np.array(["a", "b"]), pa.table({}), relevant)
    lists = {"served": np.array([[3], [4]]), "popular": np.array([[4], [4]])}
    lists = {name: np.pad(codes, ((0, 0), (0, 9))) for name, codes in lists.items()}
    everyone, first, three = np.ones(2, bool), np.array([True, False]), np.arange(100) == 3
    found = slices.judge(
        [Slice("users", "first", first), Slice("items", "three", everyone, three)],
        asked,
        lists,
        Population(asked.user_ids, 1),
    )
    assert [each["requests"] for each in found] == [1, 2]
    assert found[0]["ndcg"]["served"]["mean"] == pytest.approx(1 / (1 + 1 / np.log2(3)))
    # Of item 3 alone: the first list has it in front, the second not at all; most popular never.
    assert found[1]["ndcg"]["served"]["mean"] == 0.5
    assert found[1]["ndcg"]["popular"]["mean"] == 0.0
    assert found[1]["compared"]["popular"]["difference"] == 0.5


def test_a_release_that_fails_one_region_is_seen_in_its_slice(world, asked):
    good = unseen(world)
    answer(world, lambda number: good(number) if number // 2 % 2 else ["i00"], current=good)
    held = tables.catalogue(world.config, world.zones)
    lists = judged.lists(world.zones, held, asked)
    lists = {"served": lists["served"], "current": judged.lists(world.zones, held, asked, judged.CURRENT)["served"]}
    cut = slices.slices(world.config, asked, slices.item_history(world.config, world.zones, held))
    found = {each["name"]: each for each in slices.judge(cut, asked, lists, Population(asked.user_ids, 1))}
    assert found["north"]["compared"]["current"]["ratio"] == 1.0
    assert found["unknown"]["compared"]["current"]["ratio"] < 0.5
