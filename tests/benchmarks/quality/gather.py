"""An evaluation as one figure with its target and the strongest baseline, and tables of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from tests.benchmarks.quality.protocols import PROTOCOLS, Protocol

#: The chain's own lists: its answers, those of the release before it, and what its parts would have answered alone.
CHAIN = ("served", "current", "retrieval_order", "two_tower", "item_item", "trending")

Result = dict[str, Any]
#: List -> mean and the two ends of its interval.
Lists = dict[str, tuple[float, float, float]]


def result(protocol: Protocol, evaluation: Mapping[str, Any], seconds: float) -> Result:
    """The figure of a data set.

    Args:
        protocol: which metric, and what is asked of it.
        evaluation: ``answers/evaluation.json``.
        seconds: that data, models and answers took, baselines apart.
    """
    found = lists(protocol, evaluation)
    value, low, high = found["served"]
    baseline = max(found.keys() - {*CHAIN}, key=lambda name: found[name][0])
    return {
        "dataset": protocol.name,
        "metric": protocol.title,
        "value": round(value, 5),
        "low": round(low, 5),
        "high": round(high, 5),
        "target": protocol.target,
        "reached": value >= protocol.target,
        "baseline": baseline,
        "baseline_value": round(found[baseline][0], 5),
        "gate": evaluation["gate"]["passed"],
        "seconds": round(seconds, 1),
    }


def lists(protocol: Protocol, evaluation: Mapping[str, Any]) -> Lists:
    """Every list that was judged, by the protocol's metric."""
    scores = {name: metrics[protocol.metric] for name, metrics in evaluation["metrics_at_10"].items()}
    return {name: (one["mean"], *one["interval"]) for name, one in scores.items()}


def tables(results: Sequence[Result], by_dataset: Mapping[str, Lists], skipped: Mapping[str, str]) -> list[Table]:
    """The figures with what was asked; and every list on every data set."""
    asked = Table(title="whole chain, as served; 95 % intervals over users")
    for heading in ("data and protocol", "metric", "value", "interval", "asked", "", "best baseline", "its value", "s"):
        asked.add_column(heading)
    for one in results:
        asked.add_row(
            one["dataset"],
            one["metric"],
            f"{one['value']:.4f}",
            f"{one['low']:.4f} to {one['high']:.4f}",
            f"{one['target']:.3f}",
            ("reached" if one["reached"] else "missed") + ("" if one["gate"] else ", gate closed"),
            one["baseline"],
            f"{one['baseline_value']:.4f}",
            f"{one['seconds']:,.0f}",
        )
    for name, reason in skipped.items():
        asked.add_row(name, *[""] * 4, f"skipped: {reason}")
    titles = {protocol.name: protocol.title for protocol in PROTOCOLS}
    every = Table(title="all lists")
    every.add_column("list")
    for name in by_dataset:
        every.add_column(f"{name}\n{titles.get(name, '')}", justify="right")
    names = {name for found in by_dataset.values() for name in found}
    for row in (*(name for name in CHAIN if name in names), *sorted(names - {*CHAIN})):
        means = (found[row][0] if row in found else None for found in by_dataset.values())
        every.add_row(row, *("" if mean is None else f"{mean:.4f}" for mean in means))
    return [asked, every]
