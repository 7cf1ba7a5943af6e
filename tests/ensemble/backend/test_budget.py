"""A native stage that raises or hangs: its part of the answer is missing and named, and no answer is late."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.native import Core
from ensemble.steps.release import Release
from tests.ensemble.made_up import CUT, World

STAGES = ("feature_lookup", "retrieval", "ranker", "cold_start")


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    return tmp_path / "fault"


@pytest.fixture
def faulty(core: Core, release: Release, fault: Path) -> Iterator[Core]:
    core.load(release, fault=str(fault))
    yield core


def ask(core: Core, world: World, count: int, deadline_ms: int, rows: bool = True) -> tuple[list[dict], dict, float]:
    body = json.dumps({"user_id": "user-1", "deadline_ms": deadline_ms}).encode()
    row = {"row": world.row(1, CUT), "as_of": CUT} if rows else None
    started = time.monotonic()
    answers, hung = core.answer_in_time(*[(body, row)] * count)
    return answers, hung, (time.monotonic() - started) * 1000


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_that_raises_is_skipped_and_named(faulty: Core, fault: Path, world: World, stage: str) -> None:
    fault.write_text(f"{stage}:raise\n")
    for answer in ask(faulty, world, 3, 10_000)[0]:
        assert answer["skipped"] == [{"stage": stage, "reason": "Error: a drill made it raise"}]
        assert len(set(answer["item_ids"])) == 20
    fault.write_text("")
    assert ask(faulty, world, 1, 10_000)[0][0]["skipped"] == []


def test_a_lookup_that_raises_is_skipped_and_named(faulty: Core, fault: Path, world: World) -> None:
    fault.write_text("feature_lookup:raise\n")
    (answer,) = ask(faulty, world, 1, 10_000, rows=False)[0]
    assert answer["skipped"] == [{"stage": "feature_lookup", "reason": "a drill made it raise"}]


@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_whose_stage_hangs_is_answered_by_trending_within_its_deadline(
    faulty: Core, fault: Path, world: World, stage: str
) -> None:
    fault.write_text(f"{stage}:hang")
    for runs in (1, 2):
        answers, hung, took_ms = ask(faulty, world, 3, 2000, rows=False)
        assert took_ms < 2000
        assert hung == {stage: runs}
        for answer in answers:
            assert answer["skipped"] == [{"stage": stage, "reason": "Error: took longer than its 500 ms"}]
            assert set(answer["sources"]) == {"trending"}
            assert len(set(answer["item_ids"])) == 20
    answers, hung, took_ms = ask(faulty, world, 1, 2000)
    assert answers[0]["skipped"] == [{"stage": stage, "reason": "Error: not begun: 2 earlier runs hang"}]
    assert (hung, took_ms < 500) == ({stage: 2}, True)


def test_a_batch_that_there_is_no_time_for_loses_only_what_is_left_of_it(
    faulty: Core, fault: Path, world: World
) -> None:
    fault.write_text("ranker:slow")  # a tenth of a second a piece, of which each of two threads has eight
    answers, hung, took_ms = ask(faulty, world, 256, 10_000, rows=False)
    assert (hung, took_ms < 2000) == ({}, True)
    late = {"stage": "retrieval", "reason": "Error: not begun: no time for all of a batch"}
    trending = [answer for answer in answers if late in answer["skipped"]]
    assert 64 <= len(trending) < 256
    for answer in answers:
        assert len(set(answer["item_ids"])) == 20
        assert answer in trending or {one["stage"] for one in answer["skipped"]} <= {"feature_lookup"}
    fault.write_text("")
    answers, _, _ = ask(faulty, world, 40, 10_000, rows=False)
    assert not [answer for answer in answers if late in answer["skipped"]]
