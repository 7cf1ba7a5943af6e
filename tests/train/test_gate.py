import copy

import pytest

from contracts.gate import GateSettings
from train import gate

SETTINGS = GateSettings()


def mean(value):
    return {"mean": value, "interval": [value * 0.9, value * 1.1]}


def compared(ours, theirs, deviation=0.001):
    difference = ours - theirs
    ends = [difference - 2 * deviation, difference + 2 * deviation]
    return {"ratio": ours / theirs, "difference": difference, "difference_interval": ends, "deviation": deviation}


def slice_of(name, ours, theirs, deviation=0.001, requests=200):
    return {
        "group": "region",
        "name": name,
        "requests": requests,
        "ndcg": {"served": mean(ours), "current": mean(theirs)},
        "compared": {"current": compared(ours, theirs, deviation)},
    }


def point(known, served, trending, before=None):
    held = {"known_events": known, "served": mean(served), "against_trending": compared(served, trending)}
    return held | ({"against_before": compared(served, before)} if before else {})


def sound():
    """A release that is as good as the current one everywhere."""
    return {
        "metrics_at_10": {
            name: {"ndcg": mean(x)} for name, x in (("served", 0.06), ("popular", 0.04), ("current", 0.06))
        },
        "compared": {"served_vs_popular": compared(0.06, 0.04), "served_vs_current": compared(0.06, 0.06)},
        "current": {"release": "r0", "reason": ""},
        "slices": [slice_of("north", 0.06, 0.06), slice_of("south", 0.05, 0.05)],
        "calibration": {"ece": 0.004},
        "cold_start": [point(0, 0.03, 0.03), point(1, 0.035, 0.03, 0.03), point(10, 0.05, 0.03, 0.035)],
        "latency_ms": {"chain": {"p50": 9.0}},
    }


def reasons(document, **settings):
    found = gate.verdict(document, GateSettings(**settings))
    assert found["passed"] == (not found["reasons"])
    return found["reasons"]


def test_a_sound_release_passes_and_every_check_is_written_down():
    found = gate.verdict(sound(), SETTINGS)
    assert found["passed"] and len(found["checks"]) == 8
    assert all(check["passed"] and check["setting"].startswith("gate.") for check in found["checks"])


def spoil(path, value):
    document = copy.deepcopy(sound())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "figure", "setting"),
    [
        (spoil(("metrics_at_10", "served", "ndcg"), mean(0.043)), "0.0430", "gate.min_ratio"),
        (spoil(("compared", "served_vs_current"), compared(0.05, 0.06)), "-0.0100", "gate.max_loss"),
        (spoil(("slices", 1), slice_of("south", 0.04, 0.05)), "region = south", "gate.max_slice_loss"),
        (spoil(("calibration", "ece"), 0.3), "0.3000", "gate.max_calibration_error"),
        (spoil(("calibration",), None), "is absent", "gate.max_calibration_error"),
        (spoil(("cold_start", 1), point(1, 0.02, 0.03)), "0.667 times that of trending", "gate.max_cold_start_loss"),
        (
            spoil(("cold_start", 2), point(10, 0.031, 0.03, 0.035)),
            "0.886 times that of the point before",
            "gate.max_cold_start_loss",
        ),
        (spoil(("cold_start", 2), point(10, 0.029, 0.03)), "0.967 times", "gate.min_cold_start_rise"),
        (spoil(("latency_ms", "chain", "p50"), 250.0), "250.0 ms", "gate.max_latency_ms"),
    ],
)
def test_each_bound_refuses_by_itself_and_names_figure_and_setting(document, figure, setting):
    (reason,) = reasons(document)
    assert figure in reason and f"({setting})" in reason and "the gate asks for" in reason


def test_a_loss_within_the_margin_or_within_chance_passes():
    assert not reasons(spoil(("compared", "served_vs_current"), compared(0.0595, 0.06, 0.0001)))
    assert not reasons(spoil(("compared", "served_vs_current"), compared(0.05, 0.06, deviation=0.01)))
    assert not reasons(spoil(("slices", 1), slice_of("south", 0.03, 0.05, deviation=0.02)))
    assert not reasons(spoil(("slices", 1), slice_of("south", 0.01, 0.05, requests=SETTINGS.min_slice_requests - 1)))


def test_where_a_candidate_must_be_better_as_good_is_not_enough():
    (reason,) = reasons(sound(), against_current="better")
    assert "a gain beyond chance (gate.against_current)" in reason
    assert not reasons(spoil(("compared", "served_vs_current"), compared(0.07, 0.06)), against_current="better")


def test_the_first_release_has_nothing_to_be_compared_with():
    document = spoil(("current",), {})
    del document["compared"]["served_vs_current"]
    for each in document["slices"]:
        each["compared"] = {}
    found = gate.verdict(document, SETTINGS)
    assert found["passed"]
    assert [check["passed"] for check in found["checks"]].count(None) == 2


def test_why_a_current_release_was_not_compared_is_told():
    document = spoil(("current", "reason"), "it has learned from what came after this cut")
    del document["compared"]["served_vs_current"]
    checks = gate.verdict(document, SETTINGS)["checks"]
    assert next(x["found"] for x in checks if x["passed"] is None) == "it has learned from what came after this cut"
