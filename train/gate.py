"""May the candidate be promoted: every bound of ``contracts/gate.py`` held against the evaluation's figures.

Pure: an evaluation's document in, checks out. Every check is written down, whether it passed or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.gate import GateSettings
from train.population import lost_beyond_chance


@dataclasses.dataclass(frozen=True)
class Check:
    """One bound and what was found.

    Attributes:
        name: what was looked at.
        setting: where the bound is set.
        asked: the bound in words.
        found: the figure in words.
        passed: None where it could not be looked at.
    """

    name: str
    setting: str
    asked: str
    found: str
    passed: bool | None

    def reason(self) -> str:
        """Why it refuses."""
        return f"{self.name}: {self.found}; the gate asks for {self.asked} ({self.setting})"


def verdict(document: Mapping[str, Any], settings: GateSettings) -> dict[str, Any]:
    """``passed``, ``reasons`` and all ``checks``.

    Args:
        document: ``evaluation.json`` but for its gate.
        settings: the bounds.
    """
    checks = [
        _popular(document, settings),
        _current(document, settings),
        *_slices(document, settings),
        _calibration(document, settings),
        *_cold_start(document, settings),
        _latency(document, settings),
    ]
    reasons = [check.reason() for check in checks if check.passed is False]
    return {"passed": not reasons, "reasons": reasons, "checks": [dataclasses.asdict(check) for check in checks]}


def _popular(document: Mapping[str, Any], settings: GateSettings) -> Check:
    served, popular = (document["metrics_at_10"][name]["ndcg"]["mean"] for name in ("served", "popular"))
    ratio = document["compared"]["served_vs_popular"]["ratio"]
    return Check(
        name="against most-popular",
        setting="gate.min_ratio",
        asked=f"a ratio of {settings.min_ratio} at least",
        found=f"ndcg_at_10 of the answers is {served:.4f}, {ratio:.3f} of most-popular's {popular:.4f}",
        passed=served >= settings.min_ratio * popular,
    )


def _current(document: Mapping[str, Any], settings: GateSettings) -> Check:
    better = settings.against_current == "better"
    asked = (
        "a gain beyond chance" if better else f"no loss beyond chance and beyond {settings.max_loss:.0%} of its figure"
    )
    setting = "gate.against_current" if better else "gate.max_loss"
    name, current = "against the current release", document["current"]
    if "served_vs_current" not in document["compared"]:
        return Check(name, setting, asked, current.get("reason") or "there is no other current release", None)
    compared = document["compared"]["served_vs_current"]
    low, high = compared["difference_interval"]
    means = [document["metrics_at_10"][each]["ndcg"]["mean"] for each in ("served", "current")]
    found = (
        f"ndcg_at_10 is {means[0]:.4f}, that of {current['release']} {means[1]:.4f}: "
        f"difference {compared['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
    )
    passed = low > 0 if better else not _lost(compared, means[1], settings.max_loss)
    return Check(name, setting, asked, found, passed)


def _slices(document: Mapping[str, Any], settings: GateSettings) -> Iterator[Check]:
    """One check for each slice that lost, or one for all when none did."""
    setting = "gate.max_slice_loss"
    asked = f"no loss beyond chance and beyond {settings.max_slice_loss:.0%} in any slice"
    compared = [each for each in document["slices"] if "current" in each["compared"]]
    if not compared:
        yield Check("slices against the current release", setting, asked, "nothing to compare with", None)
        return
    looked = [each for each in compared if each["requests"] >= settings.min_slice_requests]
    lost = [
        each
        for each in looked
        if _lost(each["compared"]["current"], each["ndcg"]["current"]["mean"], settings.max_slice_loss, len(looked))
    ]
    for each in lost:
        ours, theirs = (each["ndcg"][name]["mean"] for name in ("served", "current"))
        low, high = each["compared"]["current"]["difference_interval"]
        found = (
            f"ndcg_at_10 is {ours:.4f}, was {theirs:.4f} "
            f"(difference {ours - theirs:+.4f} [{low:+.4f}, {high:+.4f}], {each['requests']} requests)"
        )
        yield Check(f"slice {each['group']} = {each['name']}", setting, asked, found, False)
    if not lost:
        few = f", {len(compared) - len(looked)} more have fewer than {settings.min_slice_requests} requests"
        yield Check("slices against the current release", setting, asked, f"none of {len(looked)} lost{few}", True)


def _calibration(document: Mapping[str, Any], settings: GateSettings) -> Check:
    asked = f"an expected calibration error of {settings.max_calibration_error} at most"
    calibration = document["calibration"]
    found = f"it is {calibration['ece']:.4f} on window C" if calibration else "models/ranker/calibration.json is absent"
    passed = bool(calibration) and calibration["ece"] <= settings.max_calibration_error
    return Check("calibration of the ranker", "gate.max_calibration_error", asked, found, passed)


def _cold_start(document: Mapping[str, Any], settings: GateSettings) -> Iterator[Check]:
    """The curve's rise, and its worst step against trending and against the step before."""
    points, name = document["cold_start"], "cold start"
    if not points:
        yield Check(name, "gate.min_cold_start_rise", "a curve", "no user had enough history for one", None)
        return
    first, last = points[0], points[-1]
    rise = last["served"]["mean"] / max(first["served"]["mean"], 1e-12)
    yield Check(
        name=f"{name}: the curve's rise",
        setting="gate.min_cold_start_rise",
        asked=f"{settings.min_cold_start_rise} times the first point's ndcg_at_10 at least",
        found=(
            f"ndcg_at_10 is {first['served']['mean']:.4f} with {first['known_events']} known interactions and "
            f"{last['served']['mean']:.4f} with {last['known_events']}: {rise:.3f} times"
        ),
        passed=rise >= settings.min_cold_start_rise,
    )
    for against, word in (("against_trending", "trending"), ("against_before", "the point before")):
        asked = f"no loss against {word} beyond chance and beyond {settings.max_cold_start_loss:.0%}"
        held = [point for point in points if against in point]
        lost = [p for p in held if _lost(p[against], _base(p, against), settings.max_cold_start_loss, len(held))]
        worst = min(lost or held, key=lambda point: point[against]["ratio"])
        found = (
            f"with {worst['known_events']} known interactions ndcg_at_10 is {worst['served']['mean']:.4f}, "
            f"{worst[against]['ratio']:.3f} times that of {word}"
        )
        yield Check(f"{name}: against {word}", "gate.max_cold_start_loss", asked, found, not lost)


def _base(point: Mapping[str, Any], against: str) -> float:
    return point["served"]["mean"] - point[against]["difference"]


def _latency(document: Mapping[str, Any], settings: GateSettings) -> Check:
    median = document["latency_ms"]["chain"]["p50"]
    return Check(
        name="latency of one request",
        setting="gate.max_latency_ms",
        asked=f"a median of {settings.max_latency_ms} ms at most",
        found=f"the chain's median is {median} ms",
        passed=median <= settings.max_latency_ms,
    )


def _lost(compared: Mapping[str, Any], base: float, margin: float, looks: int = 1) -> bool:
    """Whether more than a share of ``base`` was lost, and that beyond chance."""
    return compared["difference"] < -margin * base and lost_beyond_chance(dict(compared), looks)
