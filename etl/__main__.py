"""``python -m etl run|check|behaviour``: the stage's command line; the last line on stdout is one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
import time

from rich.console import Console
from rich.table import Table

from contracts import config as settings
from contracts.errors import TriremeError
from contracts.stack import stack_settings

CONSOLE = Console(stderr=True)


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        figures = options.function(options)
    except TriremeError as error:
        CONSOLE.print(f"[bold red]{type(error).__name__}[/] ", end="")
        CONSOLE.print(str(error), markup=False, highlight=False)
        return 1
    print(json.dumps(figures))
    return 0


def _run(options: argparse.Namespace) -> dict[str, object]:
    import etl.lean  # noqa: F401 (before Merlin, which would import TensorFlow)
    from etl import check, stage

    config = settings.load(options.config)
    check.columns(config, options.config)
    started = time.monotonic()
    figures = stage.run(
        config,
        stack_settings(),
        options.force,
        lambda step: CONSOLE.print(f"[dim]{time.monotonic() - started:6.1f} s[/] etl {config.name}: {step}"),
    )
    table = Table(title=f"etl {config.name}", show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:,}" if type(value) is int else str(value))
    CONSOLE.print(table)
    return figures


def _check(options: argparse.Namespace) -> dict[str, object]:
    from etl import check

    config = settings.load(options.config)
    return {"name": config.name, "columns": check.columns(config, options.config)}


def _behaviour(options: argparse.Namespace) -> dict[str, object]:
    from etl import parity

    config = settings.load(options.config)
    return parity.run(config, stack_settings().root, options.events, options.queries, options.out, options.buckets)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m etl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="run|check|behaviour")
    run = commands.add_parser("run", help="ingest, quality and features; skips what is current")
    run.add_argument("config", help="a file of configs/")
    run.add_argument("--force", action="store_true", help="run again though nothing changed")
    run.set_defaults(function=_run)
    check = commands.add_parser("check", help="check the configuration and the columns of its source files")
    check.add_argument("config", help="a file of configs/")
    check.set_defaults(function=_check)
    behaviour = commands.add_parser("behaviour", help="behaviour rows of (user_id, as_of) pairs from a file of events")
    for name, text in (
        ("--events", "Parquet: event fields; a category column is taken where there is one"),
        ("--queries", "Parquet: user_id, as_of (ms)"),
        ("--out", "Parquet to write: the queries with their raw behaviour columns"),
        ("--config", "a file of configs/"),
    ):
        behaviour.add_argument(name, required=True, help=text)
    behaviour.add_argument("--buckets", help="Parquet to write: the events' interactions by day, region and item")
    behaviour.set_defaults(function=_behaviour)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
