"""Asking a chain in tests: requests of the world's users, and what two lists have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from contracts import folds
from contracts.features import FIRST_VALUE
from contracts.requests import Answer, Request
from ensemble.steps.chain import Answered, Chain
from tests.ensemble.made_up import CUT, World


def ask(chain: Chain, world: World, users: Sequence[int], k: int = 20, as_of: int = CUT, **wishes: object) -> Answered:
    """The answers of some of the world's users."""
    requests = [Request(world.user_ids[user], k=k, **wishes) for user in users]  # pyright: ignore[reportArgumentType]
    rows = [world.row(user, as_of) for user in users]
    return chain.answer(requests, rows, [as_of] * len(users), now_ms=0)


def shopped(world: World, user: int, department: int, as_of: int = CUT, number: int = 3) -> dict:
    """A user's row right after some purchases of one department."""
    items = np.flatnonzero(world.department == department)[:number]
    log = world.log(user, as_of - 3_600_000) if user >= 0 else []
    log += [
        folds.Interaction(as_of - 60_000 * (i + 1), f"live-{i}", world.item_ids[item], f"dep-{department}")
        for i, item in enumerate(items)
    ]
    row = world.row(user, as_of) if user >= 0 else {"age": "", "home_region": "", "seen_item_ids": []}
    return {**row, **folds.row(folds.fold(log, world.config.features), world.config.features)}


def departments(world: World, answer: Answer) -> np.ndarray:
    return world.department[[int(item.split("-")[1]) for item in answer.item_ids]]


def codes(answer: Answer) -> list[int]:
    return [int(item.split("-")[1]) + FIRST_VALUE for item in answer.item_ids]


def assert_same(left: Answer, right: Answer) -> None:
    """Equal but for the arithmetic's last digits: items may change places only where their scores tie."""
    hidden = {"scores": (), "item_ids": (), "sources": (), "request_id": ""}
    assert dataclasses.replace(left, **hidden) == dataclasses.replace(right, **hidden)
    assert len(left.scores) == len(right.scores)
    assert np.allclose(left.scores, right.scores, rtol=0, atol=1e-5)
    scores = dict(zip(right.item_ids, right.scores))
    for item, score in zip(left.item_ids, left.scores):
        assert abs(scores.get(item, right.scores[-1]) - score) < 1e-5
