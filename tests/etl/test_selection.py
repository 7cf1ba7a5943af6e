"""Which rows are made: all of window A, a bounded seeded draw of B and C, the same however users are grouped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contracts.config import Config, load
from etl import selection
from etl.rows import Instants
from etl.selection import Chosen, Survey

INSTANTS = Instants(retrieval_end=100, ranker_end=200, cut=300, log_end=400)
SMOKE = load(Path(__file__).parents[2] / "configs/smoke.toml")


def config(ranker_users: int) -> Config:
    return dataclasses.replace(SMOKE, train=dataclasses.replace(SMOKE.train, ranker_users=ranker_users))


def surveys(groups: int, users: int = 40, rows: int = 30, newcomers: tuple[str, ...] = ()) -> list[Survey]:
    """Users in ``groups`` groups, each with the same instants from 0 to 390; a newcomer has rows after the cut only."""
    out = []
    for group in range(groups):
        names = [f"u{i:02d}" for i in range(group, users, groups)]
        strangers = [name for name in newcomers if group == 0]
        everyone = sorted([*names, *strangers])
        instants = {name: np.arange(rows) * 13 + 300 * (name in strangers) for name in everyone}
        user = np.repeat(np.array(everyone, object), rows)
        out.append(Survey(np.array(names, object), user, np.concatenate([instants[name] for name in everyone])))
    return out


def chosen(parts: list[Survey], settings: Config) -> list[dict[int, tuple[str, int]]]:
    """Per window: row id -> (user, instant)."""
    everyone = np.sort(np.concatenate([part.experienced for part in parts]))
    picked = selection.select(parts, everyone, INSTANTS, settings)
    out: list[dict[int, tuple[str, int]]] = [{}, {}, {}]
    for part, windows in zip(parts, picked):
        for found, (entries, ids) in zip(out, windows):
            found.update({int(i): (part.user[e], int(part.as_of[e])) for e, i in zip(entries, ids)})
    return out


def test_window_a_is_whole_and_every_row_lies_in_its_window() -> None:
    a, b, c = chosen(surveys(3), config(1_000))
    assert len(a) == 40 * 8 and len(b) == 40 * 8 and len(c) == 40 * 8
    assert max(t for _, t in a.values()) < 100 <= min(t for _, t in b.values())
    assert max(t for _, t in b.values()) < 200 <= min(t for _, t in c.values())
    assert max(t for _, t in c.values()) < 300


def test_the_ranker_s_windows_hold_so_many_users_and_rows_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    _, b, _ = chosen(surveys(3), config(5))
    assert len({user for user, _ in b.values()}) == 5 and len(b) == 5 * 8
    monkeypatch.setattr(selection, "RANKER_ROWS", 17)
    a, b, c = chosen(surveys(3), config(5))
    assert (len(a), len(b), len(c)) == (40 * 8, 17, 17)


def test_the_number_of_groups_changes_neither_the_draw_nor_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "RANKER_ROWS", 17)
    assert chosen(surveys(1), config(5)) == chosen(surveys(4), config(5))


def test_newcomers_after_the_cut_change_no_id() -> None:
    newcomers = ("a", "u05x", "u20x", "z")
    assert chosen(surveys(2), config(9)) == chosen(surveys(2, newcomers=newcomers), config(9))


def test_no_two_rows_share_an_id() -> None:
    windows = chosen(surveys(2), config(1_000))
    assert len(set().union(*windows)) == sum(map(len, windows)) == 40 * 24


def test_another_seed_draws_other_users() -> None:
    other = dataclasses.replace(config(5), train=dataclasses.replace(config(5).train, seed=21))
    assert chosen(surveys(2), config(5))[1] != chosen(surveys(2), other)[1]


def test_nothing_to_choose_is_no_error() -> None:
    empty = Survey(np.array([], object), np.array([], object), np.array([], np.int64))
    found = selection.select([empty], np.array([], object), INSTANTS, config(5))
    assert [part.entries.tolist() for part in found[0]] == [[], [], []] and isinstance(found[0][0], Chosen)
