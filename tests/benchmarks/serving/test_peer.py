"""The peer answers what the python steps answer, or the comparison would be of two different services."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import RequestError
from contracts.requests import Request
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.benchmarks.serving import equal
from tests.benchmarks.serving.peer_engine import Engine
from tests.ensemble.asking import shopped
from tests.ensemble.made_up import CUT, USERS, World

HOUR = 3_600_000


def test_it_answers_as_the_chain(release: Release, world: World) -> None:
    engine, chain = Engine(release), Chain(release)
    excluded = tuple(world.item_ids[:30])
    for i in range(48):
        as_of = CUT - i % 5 * HOUR
        user = -1 if i % 8 == 7 else i % USERS
        row = shopped(world, user, i % 8, as_of, i % 4) if i % 3 == 0 or user < 0 else world.row(user, as_of)
        region, unwanted = ("", "region-1", "nowhere")[i % 3], excluded if i % 4 == 0 else ()
        request = Request(f"user-{user}", k=(20, 100, 1)[i % 3], region=region, exclude_ids=unwanted, request_id="r")
        found = engine.answer(request, row, as_of)
        expected = chain.answer([request], [row], [as_of], as_of).answers[0]
        wanted = {name: getattr(expected, name) for name in found} | {"item_ids": [*expected.item_ids]}
        assert equal.verdict(found, wanted) == "equal", f"request {i}"
        assert np.allclose(found["scores"], expected.scores, atol=1e-5)
        assert found["sources"] == [*expected.sources]
        assert found["feature_age_ms"] == expected.feature_age_ms


def test_what_it_has_not_learned_is_refused(release: Release, world: World) -> None:
    with pytest.raises(RequestError, match="diversity"):
        Engine(release).answer(Request("user-1", diversity=0.5), world.row(1, CUT), CUT)


@pytest.mark.parametrize(
    ("ids", "scores", "verdict"),
    [
        ("abc", (0.9, 0.8, 0.7), "equal"),
        ("acb", (0.9, 0.7, 0.7), "different"),
        ("bac", (0.9, 0.8, 0.7), "different"),
        ("ab", (0.9, 0.8), "different"),
    ],
)
def test_ids_are_equal_or_not(ids: str, scores: tuple[float, ...], verdict: str) -> None:
    one = {"item_ids": [*"abc"], "scores": [0.9, 0.8, 0.7], "skipped": []}
    assert equal.verdict(one, {"item_ids": [*ids], "scores": [*scores], "skipped": []}) == verdict


def test_items_of_equal_scores_may_change_places_and_take_the_last_one() -> None:
    one = {"item_ids": [*"abc"], "scores": [0.9, 0.8, 0.8], "skipped": []}
    assert equal.verdict(one, {**one, "item_ids": [*"acb"]}) == "tied"
    assert equal.verdict(one, {**one, "item_ids": [*"abd"]}) == "tied"
    assert equal.verdict(one, {**one, "item_ids": [*"dbc"]}) == "different"


def test_an_answer_that_a_stage_had_no_part_in_is_not_equal() -> None:
    one = {"item_ids": [*"abc"], "scores": [0.9, 0.8, 0.7], "skipped": []}
    assert equal.verdict(one, {**one, "skipped": [{"stage": "ranker", "reason": "late"}]}) == "different"
