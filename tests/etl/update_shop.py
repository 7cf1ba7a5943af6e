"""A shop whose items and users change in mid-log, its runs, and what every row should know, event by event."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.config import Config, parse
from etl import stage, store
from etl.cluster import Session
from tests.etl.lake import DAY_MS, FIELDS, START_MS, Lake

ITEMS, USERS, DAYS, CUT_DAY = 40, 12, 8, 6
CUT_MS = START_MS + CUT_DAY * DAY_MS
NUMERIC = ("price",)
#: What the source tables say; "late" and "u-late" are known of by updates only.
TABLES = {
    "items": {f"i{n}": {"kind": f"k{n % 3}" if n % 7 else "", "price": float(n)} for n in range(ITEMS)},
    "users": {f"u{n:02d}": {"segment": f"s{n % 3}"} for n in range(USERS - 1)},
}
KEYS = {"items": "item_id", "users": "user_id"}


def purchases(seed: int = 0, days: tuple[int, int] = (0, DAYS)) -> pd.DataFrame:
    """Random purchases of some days at full seconds; of "late", too, before and after the shop says what it is."""
    rng = np.random.default_rng(seed)
    n = 100 * DAYS
    items = [*TABLES["items"], "late"]
    frame = pd.DataFrame(
        {
            "event_id": [f"p{i:05d}" for i in range(n)],
            "event_type": "purchase",
            "event_time": START_MS + rng.integers(0, DAYS * DAY_MS // 1000, n) * 1000,
            "user_id": [f"u{user:02d}" for user in rng.integers(0, USERS, n)],
            "item_id": [items[item] for item in rng.integers(0, len(items), n)],
            "region": "north",
            "quantity": 1,
            "value": 2.5,
        }
    )
    first, last = (START_MS + day * DAY_MS for day in days)
    return frame[frame["event_time"].between(first, last - 1)].assign(attributes=None)


def update(event_id: str, time: int, attributes: dict[str, str], **of: str) -> dict[str, Any]:
    """An ``item_update`` (``item_id=…``) or ``user_update`` (``user_id=…``)."""
    kind = "item_update" if "item_id" in of else "user_update"
    return {"event_id": event_id, "event_type": kind, "event_time": time, "attributes": [*attributes.items()], **of}


def updates(log: pd.DataFrame) -> pd.DataFrame:
    """Changes before the cut, out of order: some at the instant of a purchase, some at one time, some say little."""
    day = [START_MS + n * DAY_MS for n in range(DAYS)]
    before = log[log["event_time"].between(day[2], day[3])]
    i4, u01 = (before[before[name] == of]["event_time"].iloc[0] for name, of in (("item_id", "i4"), ("user_id", "u01")))
    return pd.DataFrame(
        [
            update("b", day[4] + 5, {"kind": "k8"}, item_id="i1"),
            update("a", day[4] + 5, {"kind": "k7", "price": "5.5"}, item_id="i1"),
            update("c", day[2] + 77, {"kind": "k9"}, item_id="i1"),
            update("d", day[3], {"kind": ""}, item_id="i2"),
            update("e", day[3], {"colour": "red", "price": "cheap", "kind": "k2"}, item_id="i3"),
            update("f", day[4], {"colour": "blue", "item_id": "i0"}, item_id="i3"),
            update("g", int(i4), {"kind": "k9"}, item_id="i4"),
            update("h", day[1], {"kind": "new"}, item_id="late"),
            update("i", day[5], {"price": ""}, item_id="i5"),
            update("j", int(u01), {"segment": "gold"}, user_id="u01"),
            update("k", day[4], {"segment": "s0"}, user_id="u01"),
            update("l", day[3], {"segment": ""}, user_id="u02"),
            update("m", day[2], {"segment": "gold"}, user_id=f"u{USERS - 1:02d}"),
            update("n", day[2], {"segment": "gold"}, user_id="u-late"),
            update("o", day[2], {"segment": "s0"}, user_id="u03"),
        ]
    )


def later_updates() -> pd.DataFrame:
    """Changes from the cut on: none of them may be seen in a row before it."""
    of_items = [update(f"x{n}", CUT_MS, {"kind": "k0", "price": "99"}, item_id=f"i{n}") for n in range(0, ITEMS, 2)]
    of_users = [update(f"y{n}", CUT_MS + n, {"segment": "new"}, user_id=f"u{n:02d}") for n in range(0, USERS, 2)]
    return pd.DataFrame([*of_items, *of_users])


def configuration(folder: Path) -> Config:
    """The shop's, of the parquet files in ``folder``."""
    items, users = ["item_id", "kind", "price"], ["user_id", "segment"]
    date = pd.Timestamp(START_MS, unit="ms") + pd.to_timedelta([CUT_DAY - 2, CUT_DAY - 1, CUT_DAY], "D")
    return parse(
        {
            "name": "shop",
            "source": {
                "events": {"url": f"{folder}/*.parquet", "columns": {name: name for name in (*FIELDS, "attributes")}},
                "items": {"url": f"{folder}/items.csv", "columns": dict(zip(items, items))},
                "users": {"url": f"{folder}/users.csv", "columns": dict(zip(users, users))},
            },
            "features": {
                "user_categorical": ["segment"],
                "item_categorical": ["kind"],
                "item_numeric": [*NUMERIC],
                "category": "kind",
                "min_item_count": 1,
            },
            "windows": dict(zip(("retrieval_end", "ranker_end", "cut"), date.strftime("%Y-%m-%d"))),
            "train": {},
            "serve": {},
        },
        "shop",
    )


@dataclasses.dataclass
class Shop(Lake):
    """A shop under a folder; ``run_all`` brings its zones up to date."""

    def run_all(self, **files: pd.DataFrame) -> Shop:
        """Add source files, and run the stage without NVTabular's workflow."""
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        for name, key in KEYS.items():
            table = pd.DataFrame.from_dict(TABLES[name], "index").rename_axis(key)
            table.to_csv(source / f"{name}.csv")
        for name, frame in files.items():
            table = pa.Table.from_pandas(frame.reindex(columns=FIELDS), preserve_index=False)
            attributes = pa.array(frame["attributes"], pa.map_(pa.string(), pa.string()))
            store.write(table.append_column("attributes", attributes), f"{source}/{name}.parquet")
        self.run()
        stage.make_features(self.config, self.zone, self.session, self.said.append)
        return self

    def frame(self, path: str) -> pd.DataFrame:
        """A file or folder below the zones."""
        return store.read(f"{self.zone.root}/{path}").to_pandas()


def shop(folder: Path, session: Session) -> Shop:
    """A shop without a log yet."""
    folder.mkdir()
    return Shop(folder, configuration(folder / "source"), session)


def as_of(log: pd.DataFrame, table: str, which: str, instant: int) -> dict[str, Any]:
    """The attributes of an id by the updates strictly before an instant, one event after the other."""
    columns = next(iter(TABLES[table].values()))
    known = dict(TABLES[table].get(which, {name: np.nan if name in NUMERIC else "" for name in columns}))
    kind = {"items": "item_update", "users": "user_update"}[table]
    of = log[(log["event_type"] == kind) & (log[KEYS[table]] == which) & (log["event_time"] < instant)]
    for attributes in of.sort_values(["event_time", "event_id"])["attributes"]:
        for name, value in attributes:
            if name not in NUMERIC and name in known:
                known[name] = value
            elif name in NUMERIC and value.replace(".", "", 1).isdigit():
                known[name] = float(value)
            elif name in NUMERIC and value == "":
                known[name] = np.nan
    return known
