"""``make bench-train``: samples a second against plain Keras, and seconds to LightFM's quality.

Every measurement is a process of its own. Those that are compared alternate, so that a noisy machine is as noisy to
both, and their medians are told. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[3]
RESULTS = Path(__file__).resolve().parent / "results"
PAIRS = (("two_tower", "two_tower_keras"), ("ranker", "ranker_keras"))
SKIPPED = ("two_tower", "ranker", "attention", "quality")


def main(arguments: list[str]) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.train", description=__doc__)
    parser.add_argument("config", help="a TOML whose pipeline has run")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; default: %(default)s")
    parser.add_argument("--skip", nargs="*", default=[], choices=SKIPPED, help="leave out")
    options = parser.parse_args(arguments)
    console, started = Console(stderr=True), time.monotonic()
    found: dict[str, Any] = {}
    for pair in PAIRS:
        if pair[0] in options.skip:
            continue
        runs: dict[str, list[dict]] = {name: [] for name in pair}
        for _ in range(options.repeats):
            for name in pair:
                runs[name].append(measured(name, options.config))
                console.print(f"{time.monotonic() - started:6.0f} s  {name}: {runs[name][-1]['per_s']:,.0f} samples/s")
        if runs[pair[0]][0]["parameters"] != runs[pair[1]][0]["parameters"]:
            console.print(f"{pair}: not the same model: {[runs[name][0]['parameters'] for name in pair]} parameters")
            return 1
        for name in pair:
            found[f"{name}_per_s"] = round(statistics.median(run["per_s"] for run in runs[name]))
        # Of runs that followed each other: a slow hour is slow for both.
        ratios = sorted(mine["per_s"] / peer["per_s"] for mine, peer in zip(*runs.values()))
        told = (ratios[0], statistics.median(ratios), ratios[-1])
        found[f"{pair[0]}_ratio"] = [round(ratio, 2) for ratio in told]
        share = statistics.median(run["input_share"] for run in runs[pair[0]])
        found["input_share" if pair[0] == "two_tower" else "ranker_input_share"] = round(share, 3)
    if "attention" not in options.skip:
        found["attention_per_s"] = round(measured("attention", options.config)["per_s"])
    if "quality" not in options.skip:
        target = measured("lightfm", options.config)
        reached = measured("quality", options.config, str(target["ndcg_at_10"]))
        found["target_ndcg_at_10"] = target["ndcg_at_10"]
        found["reached_ndcg_at_10"] = reached["ndcg_at_10"]
        found["lightfm_seconds_to_quality"] = round(target["seconds"], 1)
        found["seconds_to_quality"] = reached["seconds"] and round(reached["seconds"], 1)
    keep(found)
    Console().print(table(found))
    print(json.dumps(found))
    return 0


def measured(kind: str, *arguments: str) -> dict:
    """The last line of a measurement."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.train.measured", kind, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict) -> Table:
    """What people read."""
    shown = Table("", "Trireme", "peer", title="Training")
    for ours, peer in PAIRS:
        if f"{ours}_per_s" in found:
            shown.add_row(f"{ours}, samples/s (plain Keras)", *(f"{found[f'{x}_per_s']:,}" for x in (ours, peer)))
            shown.add_row("  ratio of neighbouring runs: least, median, most", str(found[f"{ours}_ratio"]), "")
    if "attention_per_s" in found:
        shown.add_row("two-tower with attention, samples/s", f"{found['attention_per_s']:,}", "")
    if "target_ndcg_at_10" in found:
        never = f"never: {found['reached_ndcg_at_10']:.4f} at best"
        row = (str(found["seconds_to_quality"] or never), str(found["lightfm_seconds_to_quality"]))
        shown.add_row(f"seconds to NDCG@10 {found['target_ndcg_at_10']:.4f} on window C (LightFM)", *row)
    for name in ("input_share", "ranker_input_share"):
        if name in found:
            shown.add_row(f"{name.replace('_', ' ')}: of a step's time", f"{found[name]:.1%}", "")
    return shown


def keep(found: dict) -> None:
    """The figures and their picture."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "result.json").write_text(json.dumps(found, indent=1) + "\n")
    compared = [pair for pair in PAIRS if f"{pair[0]}_per_s" in found]
    if not compared:
        return
    figure, axes = plt.subplots(1, len(compared), figsize=(4 * len(compared), 2.4), constrained_layout=True)
    for axis, pair in zip(axes if len(compared) > 1 else [axes], compared):
        bars = axis.barh(["Trireme", "plain Keras"], [found[f"{x}_per_s"] for x in pair], color=["#1f6f8b", "#c9c9c9"])
        axis.bar_label(bars, fmt="{:,.0f}", padding=3)
        axis.invert_yaxis()
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel(f"{pair[0].replace('_', '-')}: samples a second")
    figure.savefig(RESULTS / "result.png", dpi=120)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
