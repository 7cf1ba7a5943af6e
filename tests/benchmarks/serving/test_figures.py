"""Figures out of cells: ratios to the peer's best, medians over rounds, and every key that is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from loadtest import perf
from tests.benchmarks.serving import figures, stages
from tests.benchmarks.serving.load import Cell
from tests.benchmarks.serving.rounds import BATCHED, BESIDE, DIRECT, ENVOY, PEER_GRPC, PEERS, PYTHON

OWN = 12_518
ASKED = {
    "throughput_ratio_c32_direct", "throughput_ratio_c32_envoy", "throughput_ratio_c1_direct",
    "throughput_ratio_c32_direct_100k", "p50_ratio_c1", "p99_ratio_c32", "cpu_per_request_ratio", "p50_growth_1m",
    "batch_256_ratio", "rest_c32_per_s", "grpc_c32_per_s",
}  # fmt: skip


def cell(server: str, per_second: float, **fields: object) -> Cell:
    held = Cell(OWN, server, "rest", 32, 1, 1, per_second, 10.0, 20.0, 1.0, 0.0, 0.1, 0, 0)
    return dataclasses.replace(held, **fields)  # pyright: ignore[reportArgumentType]


def everything() -> list[Cell]:
    cells = []
    for number in (1, 2):
        for clients in (1, 8, 32, 64):
            for server in (*PEERS, DIRECT, ENVOY, PYTHON):
                cells.append(cell(server, 100.0, concurrency=clients, round=number))
            for server in (DIRECT, PEER_GRPC):
                cells.append(cell(server, 90.0, concurrency=clients, round=number, protocol="grpc"))
        cells += [cell(BATCHED, 100.0, concurrency=1, round=number)]
        cells += [cell(BATCHED, 1500.0, concurrency=1, round=number, batch=256)]
    for items in (100_000, 1_000_000):
        for clients in (1, 32):
            cells += [cell(server, 50.0, concurrency=clients, items=items) for server in (DIRECT, *PEERS)]
        cells += [cell(BESIDE, 100.0, concurrency=1)]
    return cells


def test_every_figure_that_is_asked_of_the_cells_is_there() -> None:
    found = figures.figures(everything(), OWN)
    assert found.keys() >= ASKED
    assert {target.figure for target in figures.TARGETS} <= {*found, "ann_recall_at_100", "useful_cpu_share"}


def test_a_ratio_is_against_the_better_peer_in_his_best_round() -> None:
    cells = [cell(PEERS[0], 100.0), cell(PEERS[1], 200.0), cell(DIRECT, 500.0)]
    cells += [cell(PEERS[0], 50.0, round=2), cell(PEERS[1], 40.0, round=2), cell(DIRECT, 700.0, round=2)]
    assert figures.figures(cells, OWN)["throughput_ratio_c32_direct"] == 3.0  # the median of 2.5 and 3.5


def test_costs_are_against_the_cheaper_peer_and_envoy_s_are_added() -> None:
    cells = [cell(PEERS[0], 100.0, cpu_ms=4.0), cell(PEERS[1], 200.0, cpu_ms=5.0)]
    cells += [cell(DIRECT, 500.0, cpu_ms=1.0), cell(ENVOY, 400.0, cpu_ms=1.0, door_ms=0.6)]
    found = figures.figures(cells, OWN)
    assert (found["cpu_per_request_ratio"], found["cpu_per_request_ratio_envoy"]) == (0.25, 0.4)


def test_growth_is_against_the_server_beside_it_in_its_own_round() -> None:
    cells = [cell(DIRECT, 1.0, concurrency=1, p50_ms=1.0)]  # of another time: not what growth is told from
    for number, (large, small) in enumerate(((20.0, 4.0), (21.0, 3.0)), 1):
        cells.append(cell(DIRECT, 1.0, concurrency=1, items=1_000_000, p50_ms=large, round=number))
        cells.append(cell(BESIDE, 1.0, concurrency=1, p50_ms=small, round=number))
    assert figures.figures(cells, OWN)["p50_growth_1m"] == 6.0  # the median of 5 and 7


def test_users_of_a_batch_are_held_against_single_calls_of_one_client() -> None:
    assert figures.figures(everything(), OWN)["batch_256_ratio"] == 15.0


def test_a_cell_in_which_nobody_was_answered_is_in_no_ratio() -> None:
    silent = cell(PEERS[1], 0.0, p50_ms=0.0, p99_ms=0.0)
    found = figures.figures([cell(PEERS[0], 100.0), silent, cell(DIRECT, 300.0)], OWN)
    assert (found["throughput_ratio_c32_direct"], found["p99_ratio_c32"], found["silent_cells"]) == (3.0, 1.0, 1)


def test_what_was_not_measured_has_no_figure() -> None:
    found = figures.figures([cell(DIRECT, 1.0)], OWN)
    assert "throughput_ratio_c32_direct" not in found
    assert found["rest_c32_per_s"] == 1.0


def test_cells_are_read_as_they_were_written(tmp_path: Path) -> None:
    figures.write_cells(tmp_path / "cells.csv", everything())
    assert figures.read_cells(tmp_path / "cells.csv") == everything()


def test_a_csv_of_perf_analyzer_is_read_in_milliseconds(tmp_path: Path) -> None:
    columns = "Concurrency,Inferences/Second,Client Send,p50 latency,p90 latency,p95 latency,p99 latency"
    (tmp_path / "one.csv").write_text(f"{columns}\n8,123.45,0,1500,2000,2500,3456\n")
    found = perf.read_table(tmp_path / "one.csv")
    assert found == {"per_second": 123.5, "p50_ms": 1.5, "p95_ms": 2.5, "p99_ms": 3.46}


def test_useful_is_what_any_server_must_do_of_all_that_the_server_spends() -> None:
    before = {"ranker": 1.0, "top_k": 0.0, "neighbours": 0.0, "parse": 2.0}
    after = {"ranker": 3.0, "top_k": 1.0, "neighbours": 1.0, "parse": 3.0}
    found = stages.shares(before, after, 10.0)
    assert (found["useful_cpu_share"], found["useful_cpu_share_all_sources"]) == (0.3, 0.4)
    assert found["cpu_share_by_stage"] == {"ranker": 0.2, "top_k": 0.1, "neighbours": 0.1, "parse": 0.1, "server": 0.5}


@pytest.mark.parametrize("after", [{}, {"ranker": 1.0}])
def test_a_server_without_an_account_has_no_share(after: dict[str, float]) -> None:
    assert stages.shares({}, after, 0.0) == {}
