"""Trireme's etl, polars, pandas and PySpark compute the same from one log: the benchmark compares like with like."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.benchmarks.etl import compare, generate, runs, trireme

ROWS = 20_000

LACKING = runs.missing(["pyspark"])

pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"needs {'; '.join(LACKING)}"),
    # Spark compiles for half a minute, several times that where others use the machine.
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    generate.generate(folder / "data", ROWS, lambda text: None)
    return folder


@pytest.fixture(scope="module")
def ours(log: Path) -> Path:
    """The zones of the real stage, run as its users run it."""
    trireme.run(log / "data", log / "trireme", log / "trireme.log")
    return trireme.zones(log / "trireme")


@pytest.mark.parametrize("name", runs.PEERS)
def test_a_peer_makes_what_trireme_makes(name: str, log: Path, ours: Path) -> None:
    if name == "pyspark" and shutil.which("java") is None:
        pytest.skip("PySpark needs java: install openjdk-17-jre-headless")
    runs.peer(name, log / "data", log / name, log / f"{name}.log")
    assert compare.difference(ours, log / name, log / "split") is None
    assert compare.ds.dataset(log / name / "rows.parquet").count_rows() > ROWS / 10
