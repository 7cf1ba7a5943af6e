"""The evaluation's charts, as PNG; what each shows is told by its title."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from train.baselines import TITLES as BASELINES

OURS, THEIRS, BASE, QUIET, WRONG = "#1f5fa8", "#e08214", "#8c96a3", "#5d6b7a", "#b2182b"
_WIDTH = 8.0
_LABEL = 9
#: Slices of one group that a chart shows; the page's table has all.
_MOST_SLICES = 8

Mean = Mapping[str, Any]


def title(name: str) -> str:
    """What people call a list."""
    known = {
        "served": "the answers, as served",
        "current": "the current release",
        "retrieval_order": "retrieval's order",
        "two_tower": "two-tower alone",
        "item_item": "item-item alone",
        "trending": "trending",
        **BASELINES,
    }
    return known.get(name, name.replace("_", " "))


def lists(metrics: Mapping[str, Mapping[str, Mean]]) -> bytes:
    """NDCG@10 of every list, best first."""
    names = sorted(metrics, key=lambda name: metrics[name]["ndcg"]["mean"])
    figure, axes = _figure(0.9 + 0.36 * len(names), "NDCG@10 of every list, with 95 % intervals over users")
    colours = [{"served": OURS, "current": THEIRS}.get(name, BASE) for name in names]
    held = [metrics[name]["ndcg"] for name in names]
    axes.barh([title(name) for name in names], [x["mean"] for x in held], color=colours, height=0.68)
    _whiskers(axes, held, range(len(names)), across=True)
    _labels(axes, held)
    axes.grid(axis="y", visible=False)
    return _png(figure)


def cold_start(points: Sequence[Mapping[str, Any]]) -> bytes:
    """NDCG@10 by how many of a user's interactions are known, answers and trending."""
    figure, axes = _figure(3.6, "Cold start: NDCG@10 by known interactions of the same users")
    place = range(len(points))
    # The label of the line that ends higher stands above its end, the other's below: often they end together.
    side = 7 if points[-1]["served"]["mean"] >= points[-1]["trending"]["mean"] else -7
    drawn = ("trending", BASE, "trending alone", -side), ("served", OURS, "the answers", side)
    for name, colour, label, shift in drawn:
        held = [point[name] for point in points]
        means = [x["mean"] for x in held]
        ends = [[x["interval"][side] for x in held] for side in (0, 1)]
        axes.fill_between(list(place), ends[0], ends[1], color=colour, alpha=0.18, linewidth=0)
        axes.plot(list(place), means, "o-", color=colour, linewidth=2, markersize=5)
        axes.annotate(
            label, (len(points) - 1, means[-1]), (8, shift), textcoords="offset points", color=colour, va="center"
        )
    axes.set_xticks(list(place), [str(point["known_events"]) for point in points])
    axes.set_xlim(-0.2, len(points) - 0.2)
    axes.set_xlabel("interactions known", fontsize=_LABEL)
    axes.grid(axis="x", visible=False)
    return _png(figure)


def reliability(calibration: Mapping[str, Any]) -> bytes:
    """Observed against predicted, each on a logarithmic scale: probabilities of candidates are small."""
    heading = f"Calibration on window C: expected error {calibration['ece']:.4f}"
    figure, axes = _figure(4.2, heading, width=5.6)
    drawn = [
        ("curve_uncalibrated", BASE, f"the ranker as it comes: {calibration['ece_uncalibrated']:.4f}"),
        ("curve", OURS, f"calibrated ({calibration['method']}): {calibration['ece']:.4f}"),
    ]
    ends: list[float] = []
    for name, colour, label in drawn:
        bins = [b for b in calibration.get(name, []) if b["predicted"] > 0 and b["observed"] > 0]
        predicted, observed = ([b[column] for b in bins] for column in ("predicted", "observed"))
        axes.plot(predicted, observed, "o-", color=colour, linewidth=1.4, markersize=5, label=label)
        ends += [*predicted, *observed]
    if ends:
        axes.plot(
            [min(ends), max(ends)], [min(ends), max(ends)], "--", color=QUIET, linewidth=1, label="as often as said"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(PercentFormatter(1.0))
            axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=_LABEL)
    axes.set_xlabel("predicted probability", fontsize=_LABEL)
    axes.set_ylabel("observed share", fontsize=_LABEL)
    return _png(figure)


def slices(documents: Sequence[Mapping[str, Any]]) -> bytes:
    """NDCG@10 of the answers within each slice, beside the current release (or most popular); a group's largest."""
    shown = [each for each in documents if each in _largest(documents, each["group"])][::-1]
    other = "current" if any("current" in each["ndcg"] for each in shown) else "popular"
    figure, axes = _figure(1.0 + 0.4 * len(shown), f"NDCG@10 by slice: the answers and {title(other)}")
    for name, colour, shift in ((other, THEIRS if other == "current" else BASE, -0.19), ("served", OURS, 0.19)):
        held = [each["ndcg"][name] for each in shown]
        at = [place + shift for place in range(len(shown))]
        axes.barh(at, [x["mean"] for x in held], height=0.36, color=colour, label=title(name))
        _whiskers(axes, held, at, across=True)
    axes.set_yticks(range(len(shown)), [f"{x['group']}: {x['name']}  ({x['requests']:,})" for x in shown])
    axes.grid(axis="y", visible=False)
    # Above the bars: beside them there is no place that none of them may reach.
    handles = [part[::-1] for part in axes.get_legend_handles_labels()]
    axes.legend(*handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, borderaxespad=0.2)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    return _png(figure)


def _largest(documents: Sequence[Mapping[str, Any]], group: str) -> list[Mapping[str, Any]]:
    """The slices of a group with most requests: a country has more regions than a chart has room."""
    held = [each for each in documents if each["group"] == group]
    return sorted(held, key=lambda each: -each["requests"])[:_MOST_SLICES]


def losses(curves: Mapping[str, Sequence[float]]) -> bytes:
    """Mean loss of each model over its training, each on a scale of its own."""
    figure = Figure(figsize=(_WIDTH, 2.9), layout="constrained")
    figure.suptitle("Training loss", x=0.01, ha="left", fontsize=11, fontweight="bold")
    for axes, (name, values) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items()):
        _plain(axes)
        share = [(i + 1) / len(values) * 100 for i in range(len(values))]
        axes.plot(share, values, "o-" if len(values) <= 12 else "-", color=OURS, linewidth=1.8, markersize=4)
        axes.set_title(name, fontsize=10, loc="left", color=QUIET)
        axes.set_xlabel("% of the training", fontsize=_LABEL)
        axes.set_xlim(0, 101)
    return _png(figure)


def _figure(height: float, heading: str, width: float = _WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c5ccd6")
    axes.tick_params(labelsize=_LABEL, colors="#333d49", length=0)
    axes.set_axisbelow(True)
    axes.grid(color="#e3e8ee", linewidth=0.8)


def _whiskers(axes: Axes, held: Sequence[Mean], at: Any, across: bool) -> None:
    """Intervals as thin lines."""
    low, high = ([x["interval"][side] for x in held] for side in (0, 1))
    (axes.hlines if across else axes.vlines)(list(at), low, high, color="#222a33", linewidth=1)


def _labels(axes: Axes, held: Sequence[Mean]) -> None:
    """Each bar's value behind its interval."""
    for place, x in enumerate(held):
        axes.annotate(
            f"{x['mean']:.4f}",
            (max(x["mean"], x["interval"][1]), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=_LABEL,
        )
    axes.margins(x=0.12)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
