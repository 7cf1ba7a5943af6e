"""A made-up shop's files and configuration, for tests of what a source may hold."""

from __future__ import annotations

from pathlib import Path

DAY_MS = 86_400_000
START_MS = 1_577_836_800_000  # 2020-01-01


def events(days: int = 60, users: int = 12, items: int = 8) -> str:
    """A CSV log: every user buys an item a day; ``who,what,when,kind,price,n``."""
    lines = ["who,what,when,kind,price,n"]
    for day in range(days):
        for user in range(users):
            item = (user + day * day) % items
            lines.append(f"u{user},i{item},{START_MS + day * DAY_MS + user * 60_000},purchase,{item + 1}.5,1")
    return "\n".join(lines) + "\n"


CONFIG = """
name = "shop"

[source.events]
url = "{folder}/events.csv"
[source.events.columns]
user_id = "who"
item_id = "what"
event_time = "when"
event_type = "kind"
value = "price"
quantity = "n"

[source.items]
url = "{folder}/items.csv"
[source.items.columns]
item_id = "what"
kind = "kind"
price = "price"

[source.users]
url = "{folder}/users.csv"
[source.users.columns]
user_id = "who"
age = "age"

[features]
user_categorical = ["age"]
item_categorical = ["kind"]
item_numeric = ["price"]
category = "kind"
min_item_count = 1

[windows]
retrieval_end = "2020-02-01"
ranker_end = "2020-02-10"
cut = "2020-02-20"
"""


def write(folder: Path) -> Path:
    """The shop's three tables and its configuration, all as they should be; returns the configuration's path."""
    (folder / "events.csv").write_text(events())
    (folder / "items.csv").write_text("what,kind,price\n" + "".join(f"i{i},k{i % 3},{i + 1}.5\n" for i in range(8)))
    (folder / "users.csv").write_text("who,age\n" + "".join(f"u{i},{20 + i}\n" for i in range(10)))
    path = folder / "shop.toml"
    path.write_text(CONFIG.format(folder=folder))
    return path
