"""A small seeded shop with a known answer: what ``configs/smoke.toml`` and the tests run on.

Planted, so that tests can look for it:

- Every user belongs to one of four taste groups (``group = user number % 4``). Group ``g`` draws ``TASTE_SHARE`` of its
  interactions from departments ``2g`` and ``2g + 1``, the rest from all eight.
- Within a department, items are drawn by a falling (Zipf) popularity: the lowest item number is the most popular.
- ``region`` is ``north``, ``east``, ``south`` or ``west`` by group for ``CLUE_SHARE`` of the users, and likewise the
  demographic column ``life_stage``; ``income`` means nothing.
- ``BAD_ROWS`` rows break one rule each, with the reason that the quarantine must name.
- ``NEWCOMERS`` users, the last numbers, come after the cut only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from contracts.events import LIMITS, Reason

SEED = 20
USERS, ITEMS, DEPARTMENTS, GROUPS, DAYS = 300, 400, 8, 4, 90
NEWCOMERS = 10
TASTE_SHARE, CLUE_SHARE = 0.8, 0.85
FIRST_DAY_MS = 1_704_067_200_000  # 2024-01-01
CUT_DAY = 79  # 2024-03-20, as configs/smoke.toml says
SESSIONS_A_USER, EVENTS_A_SESSION = 36, 4
REGIONS = ("north", "east", "south", "west")
LIFE_STAGES = ("student", "single", "family", "retired")
DAY_MS = 86_400_000


def department(item: np.ndarray) -> np.ndarray:
    """Number of the department of item numbers."""
    return item % DEPARTMENTS


def events() -> pa.Table:
    """The log, some 43,000 rows: ``event, user, item, time, kind, basket, region, quantity, amount``."""
    rng = np.random.default_rng(SEED)
    sessions = _sessions(rng)
    size = rng.poisson(EVENTS_A_SESSION - 1, len(sessions["user"])) + 1
    session = np.repeat(np.arange(len(size)), size)
    user, n = sessions["user"][session], len(session)
    own = rng.random(n) < TASTE_SHARE
    taste = 2 * (user % GROUPS) + rng.integers(0, 2, n)
    items = np.where(own, taste, rng.integers(0, DEPARTMENTS, n)) + DEPARTMENTS * _zipf(rng, ITEMS // DEPARTMENTS, n)
    # A third of a session's events share the instant of the one before, as the lines of a receipt do.
    step = np.where(rng.random(n) < 1 / 3, 0, rng.integers(1, 120_000, n))
    running = np.cumsum(step)
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    time = sessions["time"][session] + running - running[first][session]
    kind = np.array(["view", "purchase"], object)[(rng.random(n) < 0.6).astype(int)]
    clue = np.where(rng.random(USERS) < CLUE_SHARE, np.arange(USERS) % GROUPS, rng.integers(0, GROUPS, USERS))
    order = np.argsort(time, kind="stable")
    columns = {
        "event": np.array([f"e{i:06d}" for i in range(n)], object),
        "user": np.array([f"u{i:03d}" for i in range(USERS)], object)[user][order],
        "item": np.array([f"i{i:03d}" for i in range(ITEMS)], object)[items][order],
        "time": time[order],
        "kind": kind[order],
        "basket": np.array([f"b{i:05d}" for i in range(len(size))], object)[session][order],
        "region": np.array(REGIONS, object)[clue][user][order],
        "quantity": rng.integers(1, 4, n),
        "amount": np.round(_prices()[items][order], 2),
    }
    return _with_bad_rows(columns, rng)


def items() -> pa.Table:
    """``item, department, category, brand, price``: three categories a department, some brands and prices missing."""
    rng = np.random.default_rng(SEED + 1)
    number = np.arange(ITEMS)
    brand = np.array([f"brand-{x}" for x in rng.integers(0, 20, ITEMS)], object)
    brand[rng.random(ITEMS) < 0.05] = None
    price = _prices()
    price[rng.random(ITEMS) < 0.03] = np.nan
    return pa.table(
        {
            "item": [f"i{i:03d}" for i in number],
            "department": [f"department-{x}" for x in department(number)],
            "category": [f"category-{d}-{c}" for d, c in zip(department(number), number // DEPARTMENTS % 3)],
            "brand": pa.array(brand, pa.string()),
            "price": pa.array(price, from_pandas=True),
        }
    )


def users() -> pa.Table:
    """``user, life_stage, income``; a tenth of the users are not in it."""
    rng = np.random.default_rng(SEED + 2)
    number = np.flatnonzero(rng.random(USERS) < 0.9)
    clue = np.where(rng.random(len(number)) < CLUE_SHARE, number % GROUPS, rng.integers(0, GROUPS, len(number)))
    income = np.array(["low", "middle", "high", None], object)[rng.integers(0, 4, len(number))]
    return pa.table(
        {
            "user": [f"u{i:03d}" for i in number],
            "life_stage": np.array(LIFE_STAGES, object)[clue],
            "income": pa.array(income, pa.string()),
        }
    )


TABLES: dict[str, Callable[[], pa.Table]] = {"events": events, "items": items, "users": users}

#: Field, the bad value and the reason that the quarantine gives, by bad row; ``event`` rows repeat an earlier id.
BAD_ROWS: tuple[tuple[str, object, Reason], ...] = (
    *[("user", None, Reason.MISSING_FIELD)] * 10,
    *[("item", None, Reason.MISSING_FIELD)] * 5,
    *[("time", 31_536_000_000, Reason.TIME_OUT_OF_RANGE)] * 8,
    *[("time", 3_786_912_000_000, Reason.TIME_OUT_OF_RANGE)] * 4,
    *[("quantity", 500, Reason.QUANTITY_OUT_OF_RANGE)] * 12,
    *[("amount", -1.0, Reason.NEGATIVE_VALUE)] * 6,
    *[("kind", "teleport", Reason.UNKNOWN_TYPE)] * 3,
    *[("basket", "b" * (LIMITS.max_id_chars + 1), Reason.TOO_LONG)] * 2,
    *[("event", None, Reason.DUPLICATE)] * 10,
)


def table(name: str) -> pa.Table:
    """One of ``TABLES``."""
    return TABLES[name]()


def _sessions(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """User number and start (ms) of every visit; a newcomer's all lie after the cut."""
    user = np.repeat(np.arange(USERS), rng.poisson(SESSIONS_A_USER, USERS))
    new = user >= USERS - NEWCOMERS
    day = np.where(new, rng.integers(CUT_DAY, DAYS, len(user)), rng.integers(0, DAYS, len(user)))
    return {"user": user, "time": FIRST_DAY_MS + day * DAY_MS + rng.integers(8 * 3_600_000, 21 * 3_600_000, len(user))}


def _zipf(rng: np.random.Generator, size: int, n: int) -> np.ndarray:
    weights = 1 / (np.arange(size) + 3.0)
    return rng.choice(size, n, p=weights / weights.sum())


def _prices() -> np.ndarray:
    return np.round(np.random.default_rng(SEED + 3).lognormal(1.0, 0.6, ITEMS), 2)


def _with_bad_rows(columns: dict[str, np.ndarray], rng: np.random.Generator) -> pa.Table:
    """The table with ``BAD_ROWS`` appended: copies of good rows with a new id and one wrong value."""
    n, extra = len(columns["event"]), len(BAD_ROWS)
    picked = rng.choice(n, extra, replace=False)
    bad = {name: values[picked].copy() for name, values in columns.items()}
    bad["event"] = np.array([f"x{i:03d}" for i in range(extra)], object)
    for row, (name, value, reason) in enumerate(BAD_ROWS):
        bad[name][row] = columns["event"][picked[row]] if reason is Reason.DUPLICATE else value
    return pa.table({name: pa.array(np.concatenate([columns[name], bad[name]])) for name in columns})
