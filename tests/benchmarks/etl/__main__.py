"""``make bench-etl``: the etl against polars, pandas and PySpark, on logs of 1, 10 and 30 million rows.

Every tool runs in fresh processes, one after the other; times are said only when all outputs are equal. The last line
on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from tests.benchmarks.etl import measure, report, runs, trireme

FOLDER = trireme.REPOSITORY / "var/bench-etl"


def main(arguments: list[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parser().parse_args(arguments)
    console, started = Console(stderr=True), time.monotonic()
    lacking = runs.missing(options.skip)
    if lacking:
        console.print("the benchmark needs " + "; ".join(lacking), markup=False, highlight=False)
        return 1

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - started:7.1f} s  {text}", markup=False, highlight=False)

    rows = (options.small, options.rows, options.large)
    try:
        small = runs.compared(options.small, FOLDER, options.skip, say) if options.small else {}
        middle = runs.compared(options.rows, FOLDER, options.skip, say)
        large = runs.alone(options.large, FOLDER, say) if options.large else None
    except runs.DifferenceError as error:
        console.print(str(error), markup=False, highlight=False)
        print(json.dumps({"rows": options.rows, "equal": False}))
        return 1
    except measure.ToolError as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    found = report.figures(rows, small, middle, large)
    _keep(found, FOLDER)
    for table in report.tables(rows, small, middle, large):
        Console().print(table)
    print(json.dumps(found))
    return 0


def _keep(found: dict[str, object], folder: Path) -> None:
    """The figures as a file, and a picture of them."""
    result = folder / "result.json"
    result.write_text(json.dumps(found, indent=1) + "\n")
    argv = [str(trireme.PYTHON), "-m", "tests.benchmarks.etl.plot", str(result), str(folder / "result.png")]
    subprocess.run(argv, cwd=trireme.REPOSITORY, check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.etl", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the log that is compared and reported")
    parser.add_argument("--small", type=int, default=1_000_000, help="of the log that growth is told from; 0: none")
    parser.add_argument("--large", type=int, default=30_000_000, help="of the log for Trireme alone; 0: none")
    parser.add_argument("--skip", nargs="+", choices=runs.PEERS, default=[], help="peers to leave out")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
