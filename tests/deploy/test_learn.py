"""The measure of learning, against a client whose answers are known."""

from __future__ import annotations

import pytest

from contracts.requests import Source
from deploy import learn
from deploy.catalogue import Catalogue, Plan
from deploy.client import now_ms
from deploy.learn import Lesson, Result

_OTHER = [f"a{i}" for i in range(20)]
_WANTED = [f"b{i}" for i in range(30)]
_DEPARTMENT_OF = {item: item[0] for item in (*_OTHER, *_WANTED)}
_CATALOGUE = Catalogue(_DEPARTMENT_OF, {"a": _OTHER, "b": _WANTED}, _DEPARTMENT_OF)


class _Shop:
    """Answers ``a`` items until it knows as many purchases as it needs; it folds one per question."""

    def __init__(self, needed: int = 3, folds: bool = True, moves: bool = True):
        self.sent, self.known, self.needed, self.folds, self.moves = [], 0, needed, folds, moves

    def send(self, event):
        self.sent.append(event)

    def recommend(self, user_id, k=20):
        if self.sent and self.folds:
            self.known = min(self.known + 1, len(self.sent))
        moved = self.moves and self.known >= self.needed
        age = now_ms() - self.sent[self.known - 1]["event_time"] if self.known else -1
        items = [*_WANTED[:10], *_OTHER[:10]] if moved else _OTHER
        return {"item_ids": items, "sources": ["similar"] * 20, "feature_age_ms": age}


def _teach(shop: _Shop) -> Lesson:
    return learn.teach(shop, "u", frozenset(), "r1", _CATALOGUE, seed=1)


def test_a_lesson_ends_with_the_first_answer_that_knows_all_three_purchases():
    shop = _Shop(needed=1)
    lesson = _teach(shop)
    assert shop.known == 3, "the list moved at the first purchase already, and the lesson waits for the third"
    assert lesson.learned_ms is not None
    assert (lesson.share_before, lesson.share_after) == (0.0, 0.5)
    assert [event["item_id"] for event in shop.sent] == ["b0", "b1", "b2"]
    assert {event["region"] for event in shop.sent} == {"r1"}
    assert len({event["event_id"] for event in shop.sent}) == 3


@pytest.mark.parametrize("shop", [_Shop(folds=False), _Shop(moves=False)], ids=["never knows", "never moves"])
def test_a_list_that_does_not_move_within_a_second_is_not_learned(shop, monkeypatch):
    monkeypatch.setattr(learn, "PATIENCE_SECONDS", 0.05)
    lesson = _teach(shop)
    assert lesson.learned_ms is None
    assert lesson.share_after == lesson.share_before


def test_users_in_a_session_are_passed_over_while_there_are_others():
    class Ages:
        def recommend(self, user_id, k):
            return {"feature_age_ms": {"new": -1, "busy": 1000, "idle": learn.SESSION_MS}[user_id]}

    assert learn.rested(Ages(), ["busy", "idle", "new"], 2) == ["idle", "new"]
    assert learn.rested(Ages(), ["busy", "idle"], 2) == ["idle", "busy"]


def _lesson(learned_ms: float | None, share_after: float) -> Lesson:
    before = {"sources": [Source.TRENDING] * 3 + [Source.PERSONAL]}
    return Lesson(Plan("u", "b", ("b0",)), learned_ms, before, {}, 0.1, share_after)


def test_the_figures_are_the_p95_and_what_rose():
    lessons = [_lesson(float(i), 0.5 if i <= 90 else 0.1) for i in range(1, 101)]
    figures = Result(_CATALOGUE, lessons, _lesson(1.0, 0.4)).key_figures()
    assert figures["learned_in_ms"] == 95.0
    assert (figures["households"], figures["households_rose"]) == (100, 90)
    assert figures["mean_rise"] == pytest.approx(0.36)
    assert figures["newcomer_trending_before"] == 0.75
    assert figures["newcomer_rise"] == pytest.approx(0.3)


def test_more_than_a_twentieth_that_did_not_learn_leaves_no_p95():
    lessons = [_lesson(None if i < 6 else 10.0, 0.5) for i in range(100)]
    assert Result(_CATALOGUE, lessons, lessons[-1]).key_figures()["learned_in_ms"] is None
