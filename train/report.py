"""The evaluation for people: a table on standard error, charts, and a page that holds all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec
from rich.console import Console
from rich.table import Table

from contracts.artifacts import Zones, exists, read_manifest
from contracts.config import Config
from train import charts, report_page

PAGE = "evaluation.html"


def write(config: Config, zones: Zones, document: Mapping[str, Any]) -> None:
    """Print the key figures; write ``answers/evaluation.html`` and, for those who want one chart, each as PNG."""
    show(document)
    drawn = drawings(document, losses(zones))
    files = {f"evaluation-{name}.png": image for name, image in drawn.items()}
    files[PAGE] = report_page.page(config.name, document, drawn).encode()
    for name, content in files.items():
        filesystem, path = fsspec.core.url_to_fs(f"{zones.answers}/{name}")
        filesystem.pipe_file(path, content)


def losses(zones: Zones) -> dict[str, list[float]]:
    """Loss curves of the models, out of their manifests."""
    found = {}
    for name, zone in (
        ("retrieval, window A", f"{zones.retrieval}/fit"),
        ("retrieval, all before the cut", f"{zones.retrieval}/refit"),
        ("ranker", zones.ranker),
    ):
        curve = read_manifest(zone).get("losses") if exists(f"{zone}/manifest.json") else None
        if curve:
            found[name] = curve
    return found


def drawings(document: Mapping[str, Any], curves: Mapping[str, list[float]]) -> dict[str, bytes]:
    """Chart -> PNG, of what the document holds."""
    drawn = {"lists": charts.lists(document["metrics_at_10"])}
    if document["cold_start"]:
        drawn["cold-start"] = charts.cold_start(document["cold_start"])
    if document["slices"]:
        drawn["slices"] = charts.slices(document["slices"])
    if document["calibration"]:
        drawn["reliability"] = charts.reliability(document["calibration"])
    if curves:
        drawn["losses"] = charts.losses(curves)
    return drawn


def show(document: Mapping[str, Any]) -> None:
    """Print metrics, comparisons and what the gate looked at."""
    console = Console(stderr=True)
    table = Table(title=f"{document['requests']} requests, {document['relevant']} new items, mean and 95 % interval")
    table.add_column("list")
    metrics = document["metrics_at_10"]
    for metric in metrics["served"]:
        table.add_column(f"{metric}@10", justify="right")
    for name, values in metrics.items():
        cells = []
        for value in values.values():
            low, high = value["interval"]
            cells.append(f"{value['mean']:.4f} [{low:.4f}, {high:.4f}]")
        table.add_row(charts.title(name), *cells)
    console.print(table)
    for name, value in document["compared"].items():
        (low, high), (less, more) = value["ratio_interval"], value["difference_interval"]
        console.print(
            f"{name.replace('_', ' ')}: x {value['ratio']:.3f} [{low:.3f}, {high:.3f}], "
            f"difference {value['difference']:+.4f} [{less:+.4f}, {more:+.4f}]"
        )
    for check in document["gate"]["checks"]:
        console.print(f"gate, {report_page.WORDS[check['passed']]}: {check['name']}: {check['found']}", markup=False)
