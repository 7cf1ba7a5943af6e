"""The drills' own arithmetic: what counts as a correct answer, as recovery, and as malice."""

from __future__ import annotations

import itertools

import pytest

from tests.drills.load import Expected, Outcome
from tests.drills.malice import malice
from tests.drills.serving import CALM_SECONDS, recovered_in_ms

GOOD = {
    "user_id": "u", "release": "r", "item_ids": ["a", "b"], "scores": [2.0, 1.0], "sources": ["personal", "trending"],
    "skipped": [{"stage": "ranker", "reason": "gone"}],
}  # fmt: skip


def outcomes(*degraded: float, until: float = 30.0) -> list[Outcome]:
    """One a second; those sent at an instant of ``degraded`` went without a stage."""
    return [Outcome(t, t + 0.1, "rest", "", ("ranker",) if t in degraded else ()) for t in itertools.takewhile(
        lambda t: t < until, map(float, itertools.count()))]  # fmt: skip


def test_recovery_is_when_answers_are_whole_and_stay_so() -> None:
    assert recovered_in_ms(outcomes(8, 9, 10, 12), lifted=10.0) == 2100
    assert recovered_in_ms(outcomes(8, 9), lifted=10.0) == 0


def test_a_hiccup_long_after_is_not_the_faults() -> None:
    assert recovered_in_ms(outcomes(11, 25), lifted=10.0) == pytest.approx(1100)


def test_without_a_calm_there_is_no_recovery() -> None:
    assert recovered_in_ms(outcomes(*range(30)), lifted=10.0) is None
    assert recovered_in_ms(outcomes(11, until=11 + CALM_SECONDS), lifted=10.0) is None


def test_an_answer_may_be_degraded_if_it_says_so() -> None:
    assert Expected("r", {"a", "b"}).problem(GOOD, "u", 2) == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"item_ids": ["a"]}, "1 items instead of 2"),
        ({"item_ids": ["a", "a"]}, "an item twice"),
        ({"item_ids": ["a", "x"]}, "an unknown item"),
        ({"scores": [1.0, float("nan")]}, "scores"),
        ({"sources": ["personal", "guess"]}, "sources"),
        ({"user_id": "v"}, "another user"),
        ({"release": "q"}, "another release"),
        ({"skipped": [{"stage": "ranker", "reason": ""}]}, "a label"),
    ],
)
def test_what_is_wrong_with_an_answer_is_named(change: dict, problem: str) -> None:
    assert problem in Expected("r", {"a", "b"}).problem(GOOD | change, "u", 2)


def test_malice_is_the_same_for_the_same_seed_and_of_every_kind() -> None:
    first, again, other = (list(itertools.islice(malice(seed), 500)) for seed in (1, 1, 2))
    assert first == again != other
    assert {type(request).__name__ for request in first} == {"Rest", "Raw", "Grpc"}
