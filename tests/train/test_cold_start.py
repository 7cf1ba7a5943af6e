import numpy as np
import pytest
from made_answers import TRENDING, answer, unseen

from contracts.evaluation import COLD_STEPS, Kind
from train import cold_start, judged, tables


def curve(world):
    held = tables.catalogue(world.config, world.zones)
    asked = judged.judged(world.zones, held, ("known_events",), Kind.COLD)
    return cold_start.curve(world.config, asked, judged.lists(world.zones, held, asked))


def test_answers_that_learn_from_the_third_interaction_on_rise_there(world):
    best = unseen(world)
    answer(world, best, cold=lambda number, known: best(number) if known >= 3 else TRENDING)
    points = curve(world)
    assert [point["known_events"] for point in points] == list(COLD_STEPS)
    assert len({point["requests"] for point in points}) == 1
    served, trending = ([point[name]["mean"] for point in points] for name in ("served", "trending"))
    assert len({*trending}) == 1  # the same users, and what they had seen plays no part
    assert served[0] == served[1] == trending[0] < served[2] == served[3] == served[4]
    assert points[1]["against_before"]["ratio"] == pytest.approx(1.0)
    assert points[2]["against_before"]["difference_interval"][0] > 0
    assert "against_before" not in points[0]


def test_a_shop_without_such_requests_has_no_curve(world):
    none = judged.Judged(*[np.array([], str)] * 2, None, judged.Relevant(*[np.array([], int)] * 2, 10))
    assert cold_start.curve(world.config, none, {}) == []
