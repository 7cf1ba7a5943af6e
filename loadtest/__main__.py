"""``python -m loadtest latency|perf CONFIG``: what clients of the running stack wait for, and how many it bears."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from contracts.config import load
from contracts.errors import TriremeError
from contracts.stack import stack_settings
from loadtest import latency, perf


def main() -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args()
    try:
        config, settings = load(arguments.config), stack_settings()
        if arguments.command == "latency":
            figures = latency.measure(config, settings, arguments.count)
        else:
            figures = perf.measure(config, settings, arguments.concurrency)
            _show(figures)
    except TriremeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    alone = commands.add_parser("latency", help="median and p95 by REST and gRPC through Envoy, one client")
    alone.add_argument("--count", type=int, default=300, help="requests by each protocol (default: %(default)s)")
    many = commands.add_parser("perf", help="perf_analyzer against one tritonserver, by gRPC")
    many.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32], help="default: 1 8 32")
    for command in (alone, many):
        command.add_argument("config", nargs="?", default="configs/completejourney.toml")
    return parser


def _show(figures: dict[str, Any]) -> None:
    table = Table(title="One tritonserver, gRPC, perf_analyzer on the same cores")
    for heading in ("concurrency", "requests/s", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for row in figures["results"]:
        table.add_row(*(str(value) for value in row.values()))
    Console(stderr=True).print(table)


if __name__ == "__main__":
    sys.exit(main())
