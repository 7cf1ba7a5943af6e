"""A seeded log of any length in constant memory: files of a million rows (four at least), in order of arrival.

Users have favourite categories and a home region, items follow Zipf's law, a third of a session's events share the
instant of the one before and a quarter is about its item. Planted: ``BAD_SHARE`` rows that break one rule each, and
``REPEAT_SHARE`` rows that arrive a second time hours later, half of them with another value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.etl.case import DAYS, FIRST_MS, MS_PER_DAY, MS_PER_HOUR

VERSION = 1
SEED = 20
ROWS_A_FILE = 1_000_000
EVENTS_A_USER = 100
CATEGORIES, BRANDS, SEGMENTS = 20, 200, 6
REGIONS = tuple(f"region-{i}" for i in range(8))
KINDS, KIND_SHARES = ("view", "click", "purchase"), (0.6, 0.25, 0.15)
BAD_SHARE, REPEAT_SHARE = 0.004, 0.002
#: No session starts in the last hours, so that none outlives the last day.
QUIET_MS = 3 * MS_PER_HOUR

#: Field and the value that breaks its rule, one a bad row.
BAD_VALUES: tuple[tuple[str, object], ...] = (
    ("user_id", None),
    ("item_id", None),
    ("event_type", "teleport"),
    ("quantity", 500),
    ("value", -1.0),
    ("event_time", 15_000_000_000),  # June 1970
)

Columns = dict[str, np.ndarray]


class Shop:
    """Who buys what: the tables that the log draws from."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng([SEED, 1])
        self.users = max(50, rows // EVENTS_A_USER)
        self.items = CATEGORIES * max(25, round(2_500 * (rows / 10_000_000) ** 0.5))
        activity = rng.lognormal(0.0, 1.0, self.users)
        self.activity = np.cumsum(activity) / activity.sum()
        popularity = 1 / (np.arange(self.items) + 8.0)
        self.popularity = np.cumsum(popularity) / popularity.sum()
        self.favourites = rng.integers(0, CATEGORIES, (self.users, 3))
        self.home = rng.integers(0, len(REGIONS), self.users)
        self.price = np.round(rng.lognormal(2.5, 0.8, self.items), 2)

    def item_table(self) -> pa.Table:
        """``item_id, category, brand, price``; one item of 500 is missing, though it is bought."""
        rng = np.random.default_rng([SEED, 2])
        item = np.flatnonzero(rng.random(self.items) >= 0.002)
        return pa.table(
            {
                "item_id": names("i", item, 6),
                "category": names("category-", item % CATEGORIES, 2),
                "brand": names("brand-", rng.integers(0, BRANDS, len(item)), 3),
                "price": self.price[item],
            }
        )

    def user_table(self) -> pa.Table:
        """``user_id, segment``."""
        rng = np.random.default_rng([SEED, 3])
        segment = rng.integers(0, SEGMENTS, self.users)
        return pa.table({"user_id": names("u", np.arange(self.users), 7), "segment": names("segment-", segment, 1)})


def generate(folder: Path, rows: int, progress: Callable[[str], None]) -> None:
    """Write ``events/part-*.parquet``, ``items.parquet`` and ``users.parquet``; what is there already is kept.

    Args:
        folder: where to.
        rows: how many rows the log has, bad and repeated ones included.
        progress: told of every file.
    """
    made = folder / "made.json"
    facts = {"rows": rows, "seed": SEED, "version": VERSION}
    if made.exists() and json.loads(made.read_text()) == facts:
        return
    (folder / "events").mkdir(parents=True, exist_ok=True)
    for stale in (folder / "events").glob("*.parquet"):
        stale.unlink()
    shop = Shop(rows)
    pq.write_table(shop.item_table(), folder / "items.parquet", compression="zstd")
    pq.write_table(shop.user_table(), folder / "users.parquet", compression="zstd")
    written = 0
    for number, table in enumerate(tables(shop, rows)):
        pq.write_table(table, folder / f"events/part-{number:04d}.parquet", compression="zstd")
        written += table.num_rows
        progress(f"generated {written:,} of {rows:,} rows")
    made.write_text(json.dumps(facts))


def tables(shop: Shop, rows: int) -> Iterator[pa.Table]:
    """The log's files; what arrives late is carried into the next."""
    files = max(4, -(-rows // ROWS_A_FILE))
    repeats, bad = round(rows * REPEAT_SHARE), np.random.default_rng([SEED, 4])
    sizes = np.diff(np.linspace(0, rows - repeats, files + 1).astype(np.int64))
    again = np.diff(np.linspace(0, repeats, files + 1).astype(np.int64))
    width = (DAYS * MS_PER_DAY - QUIET_MS) // files
    carried: Columns | None = None
    first = 0
    for number in range(files):
        rng = np.random.default_rng([SEED, 5, number])
        start = FIRST_MS + number * width
        columns = visits(shop, int(sizes[number]), first, start, width, rng)
        columns = with_repeats(columns, int(again[number]), rng)
        first += int(sizes[number])
        if carried is not None:
            columns = {name: np.concatenate([carried[name], columns[name]]) for name in columns}
        columns = take(columns, np.argsort(columns["arrival"], kind="stable"))
        ends = number + 1 == files
        here = len(columns["arrival"]) if ends else int(np.searchsorted(columns["arrival"], start + width))
        carried = take(columns, slice(here, None))
        yield table(shop, take(columns, slice(0, here)), bad)


def visits(shop: Shop, n: int, first: int, start: int, width: int, rng: np.random.Generator) -> Columns:
    """``n`` events of visits that begin within ``width`` ms from ``start``; ``first`` is the number of the first."""
    size = 1 + rng.poisson(4.0, n // 4 + 16)
    size = size[: int(np.searchsorted(np.cumsum(size), n)) + 1]
    visit = np.repeat(np.arange(len(size)), size)[:n]
    opens = np.concatenate([[True], visit[1:] != visit[:-1]])
    user = np.searchsorted(shop.activity, rng.random(len(size)))[visit]
    step = np.where(rng.random(n) < 1 / 3, 0, rng.integers(2_000, 240_000, n))
    step[opens] = 0
    running = np.cumsum(step)
    time = (start + rng.integers(0, width, len(size)))[visit] + running - running[opens][visit]
    item = np.searchsorted(shop.popularity, rng.random(n))
    liked = shop.favourites[user, rng.integers(0, 3, n)]
    item = np.where(rng.random(n) < 0.6, item // CATEGORIES * CATEGORIES + liked, item)
    same = (rng.random(n) < 0.25) & ~opens
    item = item[np.maximum.accumulate(np.where(same, 0, np.arange(n)))]
    away = rng.random(n) < 0.15
    return {
        "number": first + np.arange(n),
        "arrival": time,
        "time": time,
        "user": user,
        "item": item,
        "visit": (first + np.flatnonzero(opens))[visit],
        "kind": rng.choice(len(KINDS), n, p=KIND_SHARES),
        "region": np.where(away, rng.integers(0, len(REGIONS), n), shop.home[user]),
        "quantity": rng.integers(1, 6, n),
        "raised": np.zeros(n, np.int64),
    }


def with_repeats(columns: Columns, count: int, rng: np.random.Generator) -> Columns:
    """The events and ``count`` of them once more, arriving hours later."""
    again = take(columns, rng.choice(len(columns["time"]), count, replace=False))
    again["arrival"] = again["arrival"] + 1 + rng.exponential(6 * MS_PER_HOUR, count).astype(np.int64)
    again["raised"] = rng.integers(0, 2, count)
    return {name: np.concatenate([columns[name], again[name]]) for name in columns}


def table(shop: Shop, columns: Columns, rng: np.random.Generator) -> pa.Table:
    """Events as the shop's log has them, some of them spoilt."""
    n = len(columns["time"])
    bought = columns["kind"] == KINDS.index("purchase")
    value = np.round(shop.price[columns["item"]] * columns["quantity"] + columns["raised"], 2)
    drawn = rng.random(n) < BAD_SHARE
    fault = np.where(drawn, rng.integers(0, len(BAD_VALUES), n), -1)
    made = {
        "event_id": hexadecimal(columns["number"]),
        "event_type": pa.array(KINDS).take(pa.array(columns["kind"])),
        "event_time": pa.array(columns["time"]),
        "user_id": names("u", columns["user"], 7),
        "item_id": names("i", columns["item"], 6),
        "session_id": names("s", columns["visit"], 9),
        "region": pa.array(REGIONS).take(pa.array(columns["region"])),
        "quantity": pa.array(columns["quantity"], pa.int32(), mask=~bought),
        "value": pa.array(value, mask=~bought),
    }
    for number, (name, wrong) in enumerate(BAD_VALUES):
        spoilt = pa.array(fault == number)
        made[name] = pc.if_else(spoilt, pa.scalar(wrong, made[name].type), made[name])
    return pa.table(made)


def take(columns: Columns, chosen: np.ndarray | slice) -> Columns:
    """Some rows of every column."""
    return {name: values[chosen] for name, values in columns.items()}


def hexadecimal(number: np.ndarray) -> pa.Array:
    """Ids of 16 digits whose order says nothing about the number's (splitmix64, which never gives one twice)."""
    mixed = (number.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    octets = mixed.astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.stack([octets >> 4, octets & 15], axis=2).reshape(-1, 16)
    return strings(np.frombuffer(b"0123456789abcdef", np.uint8)[digits])


def names(prefix: str, number: np.ndarray, digits: int) -> pa.Array:
    """``prefix`` and the number with leading zeros."""
    powers = 10 ** np.arange(digits - 1, -1, -1)
    text = np.empty((len(number), len(prefix) + digits), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    text[:, len(prefix) :] = np.asarray(number)[:, None] // powers % 10 + ord("0")
    return strings(text)


def strings(text: np.ndarray) -> pa.Array:
    """Rows of ASCII ``[n, width]`` uint8 as Arrow strings."""
    n, width = text.shape
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(text)))
