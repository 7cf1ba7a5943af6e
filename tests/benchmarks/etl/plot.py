"""``python -m tests.benchmarks.etl.plot RESULT.json RESULT.png``: seconds and memory by tool (environment: train)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

TOOLS = ("trireme", "polars", "pandas", "pyspark")
COLOURS = ("#1f6f8b", "#c9c9c9", "#c9c9c9", "#c9c9c9")


def main(result: Path, picture: Path) -> None:
    found = json.loads(result.read_text())
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
    for axis, key, unit in zip(axes, ("seconds", "peak_rss_mib"), ("seconds", "MiB, largest process")):
        values = {name: found.get(key if name == "trireme" else f"{name}_{key}") for name in TOOLS}
        values = {name: value for name, value in values.items() if value is not None}
        colours = [COLOURS[TOOLS.index(name)] for name in values]
        bars = axis.barh(list(values), list(values.values()), color=colours)
        axis.bar_label(bars, fmt="{:,.0f}", padding=3)
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel(unit)
    figure.suptitle(f"{found['rows']:,} events to training rows, equal outputs")
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
