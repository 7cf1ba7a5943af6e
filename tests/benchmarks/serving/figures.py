"""The figures that are asked for, out of the cells: our rounds, each against the peer's best, and their medians.

Two workers of uvicorn take connections as they come: in some rounds one of them has got all of them, and the peer half
its throughput. So he is taken at his best of all rounds.
"""

from __future__ import annotations

import csv
import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.serving.load import Cell
from tests.benchmarks.serving.rounds import BATCHED, BESIDE, DIRECT, ENVOY, PEER_GRPC, PEERS, PYTHON

Value = Callable[[Cell], float]


class Target(NamedTuple):
    """A bound on one figure: at most ``bound``, or at least where ``least``."""

    figure: str
    text: str
    bound: float
    least: bool = True

    def met(self, value: float) -> bool:
        """Whether the figure keeps to the bound."""
        return value >= self.bound if self.least else value <= self.bound


TARGETS = (
    Target("throughput_ratio_c1_direct", "times the better peer's throughput, 1 client", 1.5),
    Target("throughput_ratio_c8_direct", "the same, 8 clients", 1.8),
    Target("throughput_ratio_c32_direct", "the same, 32 clients", 2.0),
    Target("throughput_ratio_c32_envoy", "the same through Envoy, the peer without", 1.5),
    Target("throughput_ratio_c32_direct_100k", "the same, 100 thousand items", 3.0),
    Target("p50_ratio_c1", "of the peer's median, 1 client", 0.8, least=False),
    Target("p99_ratio_c32", "of the peer's p99, 32 clients", 0.7, least=False),
    Target("cpu_per_request_ratio", "of the peer's server CPU a request, 32 clients", 0.5, least=False),
    Target("p50_growth_1m", "times the median with one million items", 8.0, least=False),
    Target("ann_recall_at_100", "of the exact 100 best that retrieval finds", 0.95),
    Target("useful_cpu_share", "of a request's CPU is useful work", 0.4),
    Target("batch_256_ratio", "times the users/s of single calls, 256 in one call", 10.0),
)


def figures(cells: Sequence[Cell], own: int) -> dict[str, float]:
    """All figures that the cells allow, by key.

    Args:
        cells: of all sizes and rounds.
        own: items of the release as it is.
    """
    found: dict[str, float | None] = {}
    # A cell in which nobody was answered has no latency, and no ratio to anything; how many there were is told.
    answered = [cell for cell in cells if cell.per_second > 0]
    singles = [cell for cell in answered if cell.batch == 1]
    for clients in (1, 8, 32, 64):
        found[f"throughput_ratio_c{clients}_direct"] = throughput(singles, own, clients, DIRECT)
        found[f"throughput_ratio_c{clients}_envoy"] = throughput(singles, own, clients, ENVOY)
        found[f"throughput_ratio_c{clients}_python"] = throughput(singles, own, clients, PYTHON)
        found[f"grpc_throughput_ratio_c{clients}"] = _ratio(
            singles, (own, "grpc", clients, DIRECT), [(own, "grpc", clients, PEER_GRPC)], _per_second, max
        )
        found[f"p50_ratio_c{clients}"] = against_peer(singles, own, clients, DIRECT, lambda cell: cell.p50_ms)
        found[f"p99_ratio_c{clients}"] = against_peer(singles, own, clients, DIRECT, lambda cell: cell.p99_ms)
    found["throughput_ratio_c1_direct_100k"] = throughput(singles, 100_000, 1, DIRECT)
    found["throughput_ratio_c32_direct_100k"] = throughput(singles, 100_000, 32, DIRECT)
    found["cpu_per_request_ratio"] = against_peer(singles, own, 32, DIRECT, lambda cell: cell.cpu_ms)
    found["cpu_per_request_ratio_c1"] = against_peer(singles, own, 1, DIRECT, lambda cell: cell.cpu_ms)
    found["cpu_per_request_ratio_envoy"] = against_peer(
        singles, own, 32, ENVOY, lambda cell: cell.cpu_ms + cell.door_ms
    )
    for name, items in (("p50_growth_100k", 100_000), ("p50_growth_1m", 1_000_000)):
        found[name] = growth(singles, items, own)
    found["batch_256_ratio"] = _batch_ratio(answered, own)
    for key, at in (
        ("rest_c32_per_s", (own, "rest", 32, DIRECT)),
        ("rest_c32_envoy_per_s", (own, "rest", 32, ENVOY)),
        ("grpc_c32_per_s", (own, "grpc", 32, DIRECT)),
        ("generator_c32_per_s", (own, "rest", 32, "trivial")),
    ):
        found[key] = _median(_per_second(cell) for cell in _at(singles, *at))
    found["peer_c32_per_s"] = max((_per_second(cell) for cell in _at(singles, own, "rest", 32, PEERS[1])), default=None)
    found["silent_cells"] = len(cells) - len(answered)
    found["failed"] = sum(cell.failed for cell in cells)
    found["skipped"] = sum(cell.skipped for cell in cells)
    return {name: round(value, 3) for name, value in found.items() if value is not None}


def throughput(cells: Sequence[Cell], items: int, clients: int, server: str) -> float | None:
    """Requests a second by REST over the better peer's best; the median of the rounds."""
    at = [(items, "rest", clients, peer) for peer in PEERS]
    return _ratio(cells, (items, "rest", clients, server), at, _per_second, max)


def against_peer(cells: Sequence[Cell], items: int, clients: int, server: str, value: Value) -> float | None:
    """A cost by REST over the least that a peer had in any round; the median of the rounds."""
    at = [(items, "rest", clients, peer) for peer in PEERS]
    return _ratio(cells, (items, "rest", clients, server), at, value, min)


def growth(cells: Sequence[Cell], items: int, own: int) -> float | None:
    """Median latency of one client at a size over that of the release as it is, in each round beside it."""
    ratios = []
    for place, cell in enumerate(cells):
        if (cell.items, cell.protocol, cell.concurrency, cell.server) == (items, "rest", 1, DIRECT):
            # Every size has one in each of its rounds: the nearest that follows.
            ratios += [cell.p50_ms / beside.p50_ms for beside in _at(cells[place:], own, "rest", 1, BESIDE)[:1]]
    return _median(ratios)


def _batch_ratio(cells: Sequence[Cell], own: int) -> float | None:
    """Users a second of one client in batches over those of single calls, in the same round."""
    mine = [cell for cell in cells if (cell.server, cell.items) == (BATCHED, own)]
    singles = {cell.round: cell.per_second for cell in mine if cell.batch == 1}
    return _median(cell.per_second / singles[cell.round] for cell in mine if cell.batch > 1 and cell.round in singles)


def _ratio(
    cells: Sequence[Cell],
    ours: tuple[int, str, int, str],
    theirs: Sequence[tuple[int, str, int, str]],
    value: Value,
    better: Callable[[Iterable[float]], float],
) -> float | None:
    peers = [value(cell) for at in theirs for cell in _at(cells, *at)]
    return _median(value(cell) / better(peers) for cell in _at(cells, *ours) if peers)


def _at(cells: Sequence[Cell], items: int, protocol: str, clients: int, server: str) -> list[Cell]:
    wanted = items, protocol, clients, server
    return [cell for cell in cells if (cell.items, cell.protocol, cell.concurrency, cell.server) == wanted]


def _per_second(cell: Cell) -> float:
    return cell.per_second


def _median(values: Iterable[float]) -> float | None:
    held = list(values)
    return statistics.median(held) if held else None


def write_cells(path: Path, cells: Sequence[Cell]) -> None:
    """``cells.csv``: a line a cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Cell)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(cell) for cell in cells)


def read_cells(path: Path) -> list[Cell]:
    """The inverse of ``write_cells``."""
    kinds: dict[str, Any] = {"int": int, "str": str, "float": float}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Cell(**{field.name: kinds[str(field.type)](line[field.name]) for field in dataclasses.fields(Cell)})
            for line in csv.DictReader(file)
        ]
