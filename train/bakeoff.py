"""Architectures of the ranker side by side: the same candidates, settings and seed, one table."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from distributed import as_completed
from onnx import numpy_helper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts.artifacts import Zones, read_json
from contracts.config import Config
from train import tracking, trial, workers

#: Candidates of a request, as many as a full answer has, and requests that latency is taken of.
_CANDIDATES, _REQUESTS = 500, 200
#: Figure -> its title and how it is written.
_ROWS = {
    "ndcg_at_10_ranker": ("NDCG@10", "{:.4f}"),
    "interval": ("95 % interval", "[{0[0]:.4f}, {0[1]:.4f}]"),
    "ndcg_at_10_blend": ("NDCG@10 with retrieval", "{:.4f}"),
    "log_loss": ("log-loss, calibrated", "{:.5f}"),
    "ece": ("calibration error (ECE)", "{:.5f}"),
    "parameters": ("parameters", "{:,}"),
    "samples_per_second": ("training samples/s", "{:,.0f}"),
    "onnx_p50_ms": ("ONNX, 500 candidates, p50 ms", "{:.2f}"),
    "bytes": ("ONNX bytes", "{:,}"),
}


def run(config: Config, zones: Zones, kinds: tuple[str, ...], many: int) -> dict[str, Any]:
    """Train each kind of ranker in a worker, then time each by itself; no zone is written.

    Args:
        config: the data set, whose ``train.ranker`` is not looked at.
        zones: with candidates.
        kinds: of ``train.ranker``.
        many: workers.

    Returns:
        ``entries``, best first, and ``best``.
    """
    recorded = tracking.recorded(config, zones, "ranker", "bakeoff")
    with TemporaryDirectory(prefix="bakeoff-") as folder, recorded as record:
        with workers.connect(min(many, len(kinds))) as client:
            tasks = [client.submit(enter, config, zones, kind, folder, record.id, pure=False) for kind in kinds]
            entries = [task.result() for task in _watched(tasks)]
        for entry in entries:  # one at a time, while nothing else runs
            entry |= cost(Path(folder, entry["kind"], "ranker", "ranker.onnx"))
        entries.sort(key=lambda entry: -entry["ndcg_at_10_ranker"])
        record.figures({entry["kind"]: entry for entry in entries})
    show(entries)
    return {"best": entries[0]["kind"], "entries": entries}


def enter(config: Config, zones: Zones, kind: str, folder: str, parent: str) -> dict[str, Any]:
    """One entry, in a worker: its figures on window C, and the speed of its training."""
    from train import ranker

    tried, scratch = trial.with_settings(config, {"ranker": kind}), trial.Scratch(zones.root, f"{folder}/{kind}")
    ends: list[float] = []
    with workers.written_to(f"{folder}/{kind}.log"), tracking.recorded(tried, zones, "ranker", kind, parent) as record:

        def on_epoch(number: int, figure: float) -> None:
            ends.append(time.monotonic())
            record.epoch(number, figure)

        figures = ranker.run(tried, scratch, on_epoch=on_epoch)
        record.figures(figures)
        record.files(scratch.ranker)
        judged = on_window_c(tried, scratch)
    calibration = read_json(f"{scratch.ranker}/calibration.json")
    return {
        "kind": kind,
        **{name: figures[name] for name in ("ndcg_at_10_ranker", "ndcg_at_10_retrieval", "ndcg_at_10_blend", "epochs")},
        "interval": judged,
        "log_loss": calibration["log_loss"][calibration["method"]],
        "ece": calibration["ece"],
        # The first epoch traces the graph.
        "samples_per_second": figures["candidates"] / statistics.median(np.diff(ends)) if len(ends) > 1 else None,
        "seconds": figures["seconds"],
    }


def on_window_c(config: Config, zones: Zones) -> list[float]:
    """The 95 % interval of a ranker's NDCG@10 on window C, over users."""
    from train import blend_tuning, ranking_rows, tables
    from train.population import Population

    asked = ranking_rows.load(config, zones, "C")
    session = _session(Path(zones.ranker, "ranker.onnx"))
    (logits,) = session.run(["logit"], {"categorical": asked.categorical, "continuous": asked.continuous})
    scores = blend_tuning.ndcg(logits, asked)
    table = tables.read(f"{zones.candidates}/window=C", ["row_id", "user_id"])
    _, first = np.unique(tables.numbers(table, "row_id"), return_index=True)
    users = np.asarray(table["user_id"].take(first).to_pylist(), str)
    counted = ~np.isnan(scores)
    return Population(users[counted], config.train.seed).mean(scores[counted])["interval"]


def cost(model: Path) -> dict[str, Any]:
    """What serving a ranker costs: parameters, bytes, and milliseconds a request of 500 candidates on one thread."""
    content = model.read_bytes()
    graph = onnx.load_from_string(content).graph
    arrays = map(numpy_helper.to_array, graph.initializer)
    session = _session(model)
    shapes = {spec.name: spec.shape[1] for spec in session.get_inputs()}
    inputs = {
        "categorical": np.zeros((_CANDIDATES, shapes["categorical"]), np.int64),
        "continuous": np.zeros((_CANDIDATES, shapes["continuous"]), np.float32),
    }
    took = []
    for _ in range(_REQUESTS):
        started = time.perf_counter()
        session.run(["logit"], inputs)
        took.append(1000 * (time.perf_counter() - started))
    return {
        # Networks have arrays, trees have attributes.
        "parameters": sum(array.size for array in arrays if array.dtype == np.float32)
        + sum(len(attribute.floats) for node in graph.node for attribute in node.attribute),
        "bytes": len(content),
        "onnx_p50_ms": round(float(np.percentile(took, 50)), 3),
        "onnx_p95_ms": round(float(np.percentile(took, 95)), 3),
    }


def show(entries: list[dict[str, Any]]) -> None:
    """One table: a column each, best first."""
    table = Table(title="rankers on window C")
    table.add_column("")
    for entry in entries:
        table.add_column(entry["kind"], justify="right")
    for name, (title, form) in _ROWS.items():
        table.add_row(title, *(form.format(entry[name]) if entry[name] is not None else "" for entry in entries))
    console = Console(stderr=True)
    console.print(table)
    console.print(f"NDCG@10 of retrieval's order: {entries[0]['ndcg_at_10_retrieval']:.4f}")


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])


def _watched(tasks: list[Any]) -> list[Any]:
    """The tasks, when all have finished."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("bake-off", total=len(tasks))
        for _ in as_completed(tasks):
            bar.advance(task)
    return tasks
