"""One size of the benchmark: the log is made, the tools run one after the other, and what they made is compared."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from tests.benchmarks.etl import compare, generate, measure, trireme

PYTHON = trireme.REPOSITORY / ".venv-bench/bin/python"
PEERS = ("polars", "pandas", "pyspark")
MODULES = {"polars": "polars_peer", "pandas": "pandas_peer", "pyspark": "spark_peer"}

Say = Callable[[str], None]


class DifferenceError(Exception):
    """A peer's output is not Trireme's: nothing about their times is worth saying."""


def missing(skip: Collection[str]) -> list[str]:
    """What the benchmark needs and this machine lacks, each with what to do."""
    lacking = []
    if not PYTHON.exists():
        lacking.append("the environment .venv-bench: make bench-etl makes it")
    if not trireme.PYTHON.exists():
        lacking.append("the environment .venv-train: make setup makes it")
    if "pyspark" not in skip and shutil.which("java") is None:
        lacking.append("java, for PySpark: install openjdk-17-jre-headless, or --skip pyspark")
    return lacking


def compared(rows: int, folder: Path, skip: Collection[str], say: Say) -> dict[str, measure.Measured]:
    """Trireme and the peers over ``rows`` rows, by name.

    Args:
        rows: of the log.
        folder: for data, which stays, and everything else, which goes.
        skip: peers to leave out.
        say: told what happens.

    Raises:
        DifferenceError: with the first difference and both rows.
        ToolError: when a tool fails.
    """
    source, scratch = _source(rows, folder, say), folder / f"compared-{rows}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        found = {"trireme": _trireme(source, scratch / "trireme", folder, rows, say)}
        for name in PEERS:
            if name in skip:
                continue
            out = scratch / name
            found[name] = peer(name, source, out, folder / f"logs/{name}-{rows}.log")
            say(f"{rows:,} rows: {name} {found[name].seconds:.1f} s; comparing")
            different = compare.difference(trireme.zones(scratch / "trireme"), out, scratch / "split")
            if different:
                raise DifferenceError(f"{name} at {rows:,} rows: {different}")
            shutil.rmtree(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


def alone(rows: int, folder: Path, say: Say) -> measure.Measured:
    """Trireme by itself over ``rows`` rows."""
    source, scratch = _source(rows, folder, say), folder / f"alone-{rows}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        return _trireme(source, scratch, folder, rows, say)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def peer(name: str, source: Path, out: Path, log: Path) -> measure.Measured:
    """Run a peer over the data in ``source``; its outputs lie below ``out``."""
    argv = [str(PYTHON), "-m", f"tests.benchmarks.etl.{MODULES[name]}", str(source), str(out)]
    return measure.run(argv, trireme.REPOSITORY, os.environ, log)


def _source(rows: int, folder: Path, say: Say) -> Path:
    source = folder / f"data-{rows}"
    generate.generate(source, rows, say)
    return source


def _trireme(source: Path, out: Path, folder: Path, rows: int, say: Say) -> measure.Measured:
    say(f"{rows:,} rows: trireme")
    found = trireme.run(source, out, folder / f"logs/trireme-{rows}.log")
    say(f"{rows:,} rows: trireme {found.seconds:.1f} s, at most {found.peak_rss_mib:,.0f} MiB a process")
    return found
