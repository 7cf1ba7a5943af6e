"""The evaluation for people: a table on standard error and a bar chart beside ``evaluation.json``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import fsspec
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from train.baselines import TITLES as BASELINES

TITLES = {
    "served": "whole chain, as served",
    "retrieval_order": "retrieval's order",
    "two_tower": "two-tower alone",
    "item_item": "item-item alone",
    **BASELINES,
}


def show(document: Mapping[str, Any]) -> None:
    """Print metrics and comparisons."""
    table = Table(title=f"{document['users']} users, {document['relevant']} new items, mean and 95 % interval")
    table.add_column("list")
    metrics = document["metrics_at_10"]
    for metric in metrics["served"]:
        table.add_column(f"{metric}@10", justify="right")
    for name in _listed(metrics):
        cells = []
        for value in metrics[name].values():
            low, high = value["interval"]
            cells.append(f"{value['mean']:.4f} [{low:.4f}, {high:.4f}]")
        table.add_row(TITLES[name], *cells)
    console = Console(stderr=True)
    console.print(table)
    for name, value in document["compared"].items():
        (low, high), (less, more) = value["ratio_interval"], value["difference_interval"]
        console.print(
            f"{name.replace('_', ' ')}: x {value['ratio']:.3f} [{low:.3f}, {high:.3f}], "
            f"difference {value['difference']:+.4f} [{less:+.4f}, {more:+.4f}]"
        )


def chart(document: Mapping[str, Any], url: str) -> None:
    """NDCG@10 of every list with its interval, as PNG."""
    metrics = document["metrics_at_10"]
    names = _listed(metrics)[::-1]
    means = [metrics[name]["ndcg"]["mean"] for name in names]
    ends = [metrics[name]["ndcg"]["interval"] for name in names]
    errors = [
        [max(0.0, mean - low) for mean, (low, _) in zip(means, ends)],
        [max(0.0, high - mean) for mean, (_, high) in zip(means, ends)],
    ]
    figure = Figure(figsize=(7, 1.2 + 0.33 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh([TITLES[name] for name in names], means, xerr=errors, color="#4c78a8", capsize=3)
    axes.set_xlabel("NDCG@10, 95 % bootstrap interval over users")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.pipe_file(path, buffer.getvalue())


def _listed(metrics: Mapping[str, Any]) -> list[str]:
    """The lists that were judged, in our order."""
    return [name for name in TITLES if name in metrics]
