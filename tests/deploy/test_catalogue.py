"""What "see it learn" buys: popular things, new to the user, of a department that the list hardly shows."""

from __future__ import annotations

from unittest import mock

import pytest

from contracts.errors import StackError
from deploy.catalogue import MIN_UNSEEN, Catalogue, choose_purchases, read_catalogue, shuffled_users

_SIZE = MIN_UNSEEN + 5


def _catalogue(*departments: str) -> Catalogue:
    items_of = {name: [f"{name}{i}" for i in range(_SIZE)] for name in departments}
    department_of = {item: name for name, items in items_of.items() for item in items}
    return Catalogue(department_of, items_of, department_of)


def test_the_share_counts_the_departments_items_of_a_list():
    catalogue = _catalogue("a", "b")
    assert catalogue.share(["a1", "b1", "a2", "unknown"], "a") == 0.5
    assert catalogue.share([], "a") == 0.0


def test_the_most_popular_unseen_items_of_an_underrepresented_department_are_bought():
    shown = ["a1", "a2", "a3", "a4", "b5"]
    plan = choose_purchases("u", shown, frozenset({"c0", "c2"}), _catalogue("a", "b", "c"), seed=1)
    assert plan.department == "c"
    assert plan.purchases == ("c1", "c3", "c4")


def test_a_department_of_which_little_is_left_unseen_is_not_chosen():
    seen = frozenset(f"c{i}" for i in range(_SIZE - MIN_UNSEEN + 1))
    plan = choose_purchases("u", ["a1"], seen, _catalogue("a", "b", "c"), seed=1)
    assert plan.department == "b"


def test_no_department_left_is_said():
    with pytest.raises(StackError, match="user u: no department with 20 unseen items is below 0.2"):
        choose_purchases("u", ["a1"], frozenset(), _catalogue("a"), seed=1)


def test_a_data_set_without_categories_cannot_be_seen_to_learn():
    site = mock.Mock()
    site.config.features.category = ""
    with pytest.raises(StackError, match=r"features\.category is empty"):
        read_catalogue(site)


def test_the_same_seed_chooses_the_same_users_and_departments():
    histories = dict.fromkeys([f"u{i}" for i in range(50)])
    assert shuffled_users(histories, 7) == shuffled_users(dict(reversed(histories.items())), 7)
    assert shuffled_users(histories, 7) != shuffled_users(histories, 8)
    catalogue = _catalogue(*"abcdef")
    plans = [
        {choose_purchases(f"u{i}", [], frozenset(), catalogue, seed=s).department for i in range(30)} for s in (1, 1)
    ]
    assert plans[0] == plans[1]
    assert len(plans[0]) > 3
