"""What "see it learn" knows of the data: the catalogue's departments, the households, and what each has bought."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence

import pyarrow.parquet as pq

from contracts.errors import StackError
from deploy.site import Site

#: A department needs this many unseen catalogue items to be asked for: a list cannot turn to what hardly exists.
MIN_UNSEEN = 20
PURCHASES = 3


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """Catalogue items by falling frequency, with the department (``features.category``) of each.

    ``label_of`` names an item to people: its value in the column after the department's, where there is one.
    """

    department_of: Mapping[str, str]
    items_of: Mapping[str, Sequence[str]]
    label_of: Mapping[str, str]

    def share(self, item_ids: Sequence[str], department: str) -> float:
        """The department's part of a list, 0 to 1."""
        return sum(self.department_of.get(item) == department for item in item_ids) / max(1, len(item_ids))


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is bought to see the list move: three popular items, new to the user, of a department it hardly shows."""

    user_id: str
    department: str
    purchases: tuple[str, ...]


def read_catalogue(site: Site) -> Catalogue:
    """From ``features/items.parquet``: one row per catalogue item in code order, which is the order of frequency.

    Raises:
        StackError: when the configuration names no category by which a list could be seen to move.
    """
    settings = site.config.features
    if not settings.category:
        raise StackError(
            "features.category is empty, so no list can be seen to move towards one; name a column there, or use "
            "`make pipeline` and `make up`"
        )
    finer = settings.item_categorical[settings.item_categorical.index(settings.category) + 1 :][:1]
    columns = ["item_id", settings.category, *finer]
    table = pq.read_table(f"{site.zones.features}/items.parquet", columns=columns).to_pydict()
    department_of = {item: name for item, name in zip(table["item_id"], table[settings.category]) if name}
    items_of: dict[str, list[str]] = {}
    for item, name in department_of.items():
        items_of.setdefault(name, []).append(item)
    labels = {item: label for item, label in zip(table["item_id"], table[columns[-1]]) if label}
    return Catalogue(department_of, items_of, {**department_of, **labels})


def read_histories(site: Site) -> dict[str, tuple[str, frozenset[str]]]:
    """Households with a history: id -> (home region, items bought)."""
    table = pq.read_table(
        f"{site.zones.features}/user_profile.parquet", columns=["user_id", "home_region", "seen_item_ids"]
    ).to_pydict()
    rows = zip(table["user_id"], table["home_region"], table["seen_item_ids"])
    return {user: (region or "", frozenset(seen)) for user, region, seen in rows if seen}


def shuffled_users(histories: Mapping[str, object], seed: int) -> list[str]:
    """All households in a seeded order, the same on every machine."""
    return random.Random(seed).sample(sorted(histories), len(histories))


def choose_purchases(
    user_id: str, shown: Sequence[str], seen: frozenset[str], catalogue: Catalogue, seed: int, max_share: float = 0.2
) -> Plan:
    """Choose a department at random among those of which the list shows little, and its most popular unseen items.

    Raises:
        StackError: when every department has its share already.
    """
    unseen = {name: [item for item in items if item not in seen] for name, items in catalogue.items_of.items()}
    open_to = [
        name for name, items in unseen.items() if len(items) >= MIN_UNSEEN and catalogue.share(shown, name) < max_share
    ]
    if not open_to:
        raise StackError(
            f"user {user_id}: no department with {MIN_UNSEEN} unseen items is below {max_share} of the list"
        )
    department = random.Random(f"{seed}:{user_id}").choice(sorted(open_to))
    return Plan(user_id, department, tuple(unseen[department][:PURCHASES]))
