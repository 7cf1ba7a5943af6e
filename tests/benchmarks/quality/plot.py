"""``python -m tests.benchmarks.quality.plot RESULT.json RESULT.png``: all lists with intervals (environment: train)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmarks.quality.gather import CHAIN
from train.charts import title

OURS, OTHERS = "#1f6f8b", "#b9b9b9"


def main(result: Path, picture: Path) -> None:
    found = json.loads(result.read_text())
    figure = Figure(figsize=(5.2 * len(found["results"]), 4.2), layout="constrained")
    for axes, one in zip(figure.subplots(1, len(found["results"]), squeeze=False)[0], found["results"]):
        lists = sorted(found["lists"][one["dataset"]].items(), key=lambda entry: entry[1][0])
        names = [title(name) for name, _ in lists]
        means = [mean for _, (mean, _, _) in lists]
        errors = [[mean - low for _, (mean, low, _) in lists], [high - mean for _, (mean, _, high) in lists]]
        colours = [OURS if name in CHAIN else OTHERS for name, _ in lists]
        axes.barh(names, means, xerr=errors, color=colours, capsize=2)
        axes.axvline(one["target"], color="black", linestyle=":", linewidth=1)
        axes.set_title(one["dataset"])
        axes.set_xlabel(f"{one['metric']}, 95 % intervals; dotted: asked")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
