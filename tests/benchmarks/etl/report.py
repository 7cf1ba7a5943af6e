"""The figures of the benchmark, what was asked of them, and a table of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.table import Table

from tests.benchmarks.etl.measure import Measured

Results = Mapping[str, Measured]


class Target(NamedTuple):
    """A bound on one figure: at most ``bound``, or at least where ``least``."""

    figure: str
    text: str
    bound: float
    least: bool = False

    def met(self, figures: Mapping[str, Any]) -> bool:
        """Whether the figure keeps to the bound."""
        return figures[self.figure] >= self.bound if self.least else figures[self.figure] <= self.bound


TARGETS = (
    Target("times_faster_than_pyspark", "times faster than PySpark", 3.0, least=True),
    Target("times_of_polars", "times the seconds of polars", 2.0),
    Target("peak_rss_mib", "MiB of any process", 3072.0),
    Target("peak_rss_growth_30m", "times that memory with three times the rows", 1.2),
    Target("growth", "times the seconds a row with ten times the rows", 1.1),
    Target("growth_30m", "times the seconds a row with three times as many again", 1.1),
)


def figures(rows: tuple[int, int, int], small: Results, middle: Results, large: Measured | None) -> dict[str, Any]:
    """All figures by their key; what was not run has none.

    Args:
        rows: of the three sizes; 0 for one that was not run.
        small: of the first size, by tool; empty when it was not run.
        middle: of the second size, which the unnumbered keys are about.
        large: Trireme's alone, of the third size.
    """
    ours = middle["trireme"]
    found: dict[str, Any] = {"rows": rows[1], "equal": True, "seconds": ours.seconds}
    for name in middle:
        prefix = "" if name == "trireme" else f"{name}_"
        found[f"{prefix}seconds"] = middle[name].seconds
        found[f"{prefix}cpu_seconds"] = middle[name].cpu_seconds
        found[f"{prefix}peak_rss_mib"] = middle[name].peak_rss_mib
        if middle[name].start_seconds:
            found["cluster_seconds" if name == "trireme" else f"{prefix}start_seconds"] = middle[name].start_seconds
        if name in small:
            found[f"{prefix}seconds_1m"] = small[name].seconds
    found.setdefault("cluster_seconds", 0.0)
    if "polars" in middle:
        found["times_of_polars"] = ours.seconds / middle["polars"].seconds
    if "pyspark" in middle:
        found["times_faster_than_pyspark"] = middle["pyspark"].seconds / ours.seconds
    if small:
        found["growth"] = _a_row(ours, rows[1]) / _a_row(small["trireme"], rows[0])
    if large is not None:
        found["seconds_30m"], found["peak_rss_mib_30m"] = large.seconds, large.peak_rss_mib
        found["growth_30m"] = _a_row(large, rows[2]) / _a_row(ours, rows[1])
        found["peak_rss_growth_30m"] = large.peak_rss_mib / ours.peak_rss_mib
    found = {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}
    return {**found, "missed": [target.figure for target in asked(found) if not target.met(found)]}


def asked(found: Mapping[str, Any]) -> list[Target]:
    """The targets about figures that there are."""
    return [target for target in TARGETS if target.figure in found]


def tables(rows: tuple[int, int, int], small: Results, middle: Results, large: Measured | None) -> list[Table]:
    """Seconds and memory by tool and size; and the targets."""
    found = figures(rows, small, middle, large)
    sizes = Table(title="equal outputs; start of cluster or session apart")
    for heading in ("tool", "rows", "seconds", "start", "processor seconds", "most MiB of a process"):
        sizes.add_column(heading, justify="left" if heading == "tool" else "right")
    last = {} if large is None else {"trireme": large}
    for count, results in zip(rows, (small, middle, last)):
        for name, one in results.items():
            times = (one.seconds, one.start_seconds, one.cpu_seconds)
            sizes.add_row(name, f"{count:,}", *(f"{value:,.1f}" for value in times), f"{one.peak_rss_mib:,.0f}")
    targets = Table(title="asked for")
    for heading in ("what", "asked", "got", ""):
        targets.add_column(heading)
    for target in asked(found):
        bound = f"{'at least' if target.least else 'at most'} {target.bound:g}"
        targets.add_row(target.text, bound, f"{found[target.figure]:,.2f}", "" if target.met(found) else "missed")
    return [sizes, targets]


def _a_row(measured: Measured, rows: int) -> float:
    return measured.seconds / rows
