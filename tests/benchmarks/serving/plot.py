"""``python -m tests.benchmarks.serving.plot CELLS.csv RESULT.png``: latency against throughput (environment: train)."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from matplotlib.figure import Figure

#: What is drawn, by server: its name for people, its colour; other cells are of other questions.
DRAWN = {
    "trireme": ("Trireme", "#1f6f8b"),
    "trireme-envoy": ("Trireme behind Envoy", "#5aa9c2"),
    "trireme-python": ("Trireme by python steps", "#8fbf8f"),
    "fastapi-1": ("FastAPI, 1 worker", "#c9c9c9"),
    "fastapi-2": ("FastAPI, 2 workers", "#8a8a8a"),
    "grpc.aio-1": ("grpc.aio, 1 process", "#c9c9c9"),
}
PROTOCOLS = {"rest": ("REST", "-"), "grpc": ("gRPC", ":")}


def main(cells: Path, picture: Path) -> None:
    with cells.open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["batch"] == "1" and line["server"] in DRAWN]
    own = min(int(line["items"]) for line in lines)
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, latency in zip(figure.subplots(1, 2), ("p50_ms", "p99_ms")):
        for (server, protocol), points in curves([x for x in lines if int(x["items"]) == own], latency).items():
            (name, colour), (words, style) = DRAWN[server], PROTOCOLS[protocol]
            axes.plot(*zip(*points), label=f"{name}, {words}", color=colour, linestyle=style, marker="o", markersize=3)
        axes.set_yscale("log")
        axes.set_xlabel("answers a second (more is better)")
        axes.set_ylabel(f"{latency[:3]}, ms (less is better)")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=7, ncols=4, loc="outside lower center")
    figure.suptitle(f"{own:,} items; points of a line: 1, 8, 32, 64 clients; each at its best round")
    figure.savefig(picture, dpi=120)


def curves(lines: list[dict[str, str]], latency: str) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """By server and protocol, points of throughput and latency, a concurrency each."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for server, protocol in dict.fromkeys((line["server"], line["protocol"]) for line in lines):
        mine = [line for line in lines if (line["server"], line["protocol"]) == (server, protocol)]
        for clients in sorted({int(line["concurrency"]) for line in mine}):
            at = [line for line in mine if int(line["concurrency"]) == clients]
            best = max(at, key=lambda line: float(line["per_second"]))
            found.setdefault((server, protocol), []).append((float(best["per_second"]), float(best[latency])))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
