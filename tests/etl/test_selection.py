"""Which rows are made: a bounded seeded draw of windows B and C, the same however users are grouped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.config import Config, load
from etl import selection
from etl.selection import Survey

SMOKE = load(Path(__file__).parents[2] / "configs/smoke.toml")
#: Of every user: 8 possible rows of each window, at these instants.
INSTANTS = {1: np.arange(100, 200, 13), 2: np.arange(200, 300, 13)}
NO_REGIONS = pa.table({"region": pa.array([], pa.string()), "count": pa.array([], pa.int64())})


def config(ranker_users: int, ranker_rows: int = 8_000, seed: int = 20) -> Config:
    train = dataclasses.replace(SMOKE.train, ranker_users=ranker_users, ranker_rows=ranker_rows, seed=seed)
    return dataclasses.replace(SMOKE, train=train)


def surveys(groups: int, users: int = 40) -> list[Survey]:
    """Sorted users in ``groups`` groups, each with the same instants."""
    window = np.repeat([1, 2], [len(INSTANTS[1]), len(INSTANTS[2])]).astype(np.int8)
    as_of = np.concatenate([INSTANTS[1], INSTANTS[2]])
    out = []
    for names in np.array_split([f"u{i:02d}" for i in range(users)], groups):
        n = len(names)
        table = pa.table({"user_id": list(names), "count": np.ones(n, np.int64)})
        place = np.repeat(np.arange(n), len(as_of))
        entry, asked = np.arange(len(place)) * 3, np.arange(n) * 5
        out.append(Survey(table, entry, np.tile(window, n), place, np.tile(as_of, n), asked, NO_REGIONS))
    return out


def chosen(parts: list[Survey], settings: Config) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """(user, instant) of the chosen rows of B and of C."""
    found: tuple[set[tuple[str, int]], set[tuple[str, int]]] = (set(), set())
    for part, picked in zip(parts, selection.select(parts, settings)):
        names = part.users.column("user_id").to_pylist()
        for rows, entries in zip(found, picked.entries):
            rows.update((names[part.user[e // 3]], int(part.as_of[e // 3])) for e in entries)
    return found


def test_every_row_of_the_drawn_users_lies_in_its_window() -> None:
    b, c = chosen(surveys(3), config(1_000))
    assert b == {(f"u{i:02d}", t) for i in range(40) for t in INSTANTS[1].tolist()}
    assert c == {(f"u{i:02d}", t) for i in range(40) for t in INSTANTS[2].tolist()}


def test_the_ranker_s_windows_hold_so_many_users_and_rows_at_most() -> None:
    b, _ = chosen(surveys(3), config(5))
    assert len({user for user, _ in b}) == 5 and len(b) == 5 * len(INSTANTS[1])
    assert [len(rows) for rows in chosen(surveys(3), config(5, 17))] == [17, 17]


def test_the_number_of_groups_does_not_change_the_draw() -> None:
    assert chosen(surveys(1), config(5, 17)) == chosen(surveys(4), config(5, 17))


def test_a_group_knows_how_many_users_come_before_its_own() -> None:
    assert [part.users_before for part in selection.select(surveys(4), config(5))] == [0, 10, 20, 30]


def test_cold_start_is_looked_at_for_users_with_enough_history_however_they_are_grouped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drawn(groups: int, seed: int = 20) -> list[str]:
        counts = iter(range(40))
        parts = [
            part._replace(users=part.users.set_column(1, "count", pa.array([next(counts) for _ in part.users[1]])))
            for part in surveys(groups)
        ]
        return [user for part in selection.select(parts, config(5, seed=seed)) for user in part.cold]

    assert drawn(3) == [f"u{i:02d}" for i in range(10, 40)]
    monkeypatch.setattr(selection, "COLD_USERS", 7)
    assert len(drawn(1)) == 7 and drawn(1) == drawn(4) and drawn(1) != drawn(1, seed=21)


def test_another_seed_draws_other_users() -> None:
    assert chosen(surveys(2), config(5)) != chosen(surveys(2), config(5, seed=21))


def test_nothing_to_choose_is_no_error() -> None:
    nothing = np.empty(0, np.int64)
    empty = Survey(pa.table({"user_id": pa.array([], pa.string()), "count": nothing}), *[nothing] * 5, NO_REGIONS)
    (found,) = selection.select([empty], config(5))
    assert [entries.tolist() for entries in found.entries] == [[], []] and found.next_events.tolist() == []


def test_so_many_interactions_are_asked_for_as_the_setting_says_however_users_are_grouped() -> None:
    def drawn(groups: int, number: int) -> list[str]:
        windows = dataclasses.replace(SMOKE.windows, next_events=number)
        parts = surveys(groups)
        found = selection.select(parts, dataclasses.replace(config(5), windows=windows))
        return [
            part.users["user_id"][place // 5].as_py() for part, one in zip(parts, found) for place in one.next_events
        ]

    assert len(drawn(1, 7)) == 7 and drawn(1, 7) == drawn(4, 7)
    assert len(drawn(3, 1_000)) == 40 and drawn(3, 0) == []
