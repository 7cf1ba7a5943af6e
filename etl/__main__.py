"""``python -m etl run|check|split|quarantine|behaviour``: the stage's command line; the last line on stdout is JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

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

    config, _ = check.run(options.config)
    figures = stage.run(config, stack_settings(), options.force, _logger(config.name), options.live)
    table = Table(title=f"etl {config.name}", show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:,}" if type(value) is int else str(value))
    CONSOLE.print(table)
    return figures


def _check(options: argparse.Namespace) -> dict[str, object]:
    from etl import check

    config, columns = check.run(options.config)
    return {"name": config.name, "columns": columns}


def _split(options: argparse.Namespace) -> dict[str, object]:
    from etl import split

    return split.run(options.config, options.protocol, options.out, options.share, options.seed)


def _logger(name: str) -> Callable[[str], None]:
    """Says a line on standard error, with the seconds since now."""
    started = time.monotonic()

    def log(line: str) -> None:
        style = "bold red" if line.startswith("ALERT") else ""
        CONSOLE.print(f"[dim]{time.monotonic() - started:6.1f} s[/] etl {name}: ", end="")
        CONSOLE.print(line, style=style, markup=False, highlight=False)

    return log


def _quarantine(options: argparse.Namespace) -> dict[str, object]:
    import etl.lean  # noqa: F401
    from etl import decisions

    config = settings.load(options.config)
    choice = decisions.Choice(options.reason, options.day, options.limit)
    figures = decisions.decide(config, stack_settings(), options.action, choice, _logger(config.name))
    decisions.tell(CONSOLE, options.action, figures)
    return figures


def _behaviour(options: argparse.Namespace) -> dict[str, object]:
    from etl import parity

    config = settings.load(options.config)
    return parity.run(config, stack_settings().root, options.events, options.queries, options.out, options.buckets)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m etl", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="run|check|split|quarantine|behaviour")
    run = commands.add_parser("run", help="ingest, quality and features; skips what is current")
    run.add_argument("config", help="a file of configs/")
    run.add_argument("--force", action="store_true", help="take everything in anew, though nothing changed")
    live = "live records that are taken in: those of days that are over (UTC), all, or none (default: closed)"
    run.add_argument("--live", choices=("closed", "all", "none"), default="closed", help=live)
    run.set_defaults(function=_run)
    check = commands.add_parser("check", help="every problem of the configuration and its source files at once")
    check.add_argument("config", help="a file of configs/")
    check.set_defaults(function=_check)
    split = commands.add_parser("split", help="a log re-timed so that the pipeline is a published protocol")
    split.add_argument("config", help="a file of configs/")
    split.add_argument("protocol", choices=("leave-one-out", "random"), help="what is held out")
    split.add_argument("--out", required=True, help="folder for events.parquet and NAME-PROTOCOL.toml")
    split.add_argument("--share", type=float, default=0.2, help="held out by random, of all interactions (default .2)")
    split.add_argument("--seed", type=int, default=20, help="of random's draw (default 20)")
    split.set_defaults(function=_split)
    quarantine = commands.add_parser("quarantine", help="what was refused or held back, and what becomes of it")
    actions = quarantine.add_subparsers(required=True, metavar="list|show|replay|release|drop", dest="action")
    for name, text in (
        ("list", "refused rows by day and reason, and the days that are held back"),
        ("show", "some of the rows"),
        ("replay", "judge refused rows again, by the rules as they are now"),
        ("release", "let a day that is held back pass"),
        ("drop", "give rows or a held day up; the raw zone keeps them"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("config", help="a file of configs/")
        action.add_argument("--reason", default="", help="only rows refused for this reason")
        action.add_argument("--day", default="", help="only this day: 2024-03-01, or as list names it (history/day=…)")
        action.add_argument("--limit", type=int, default=20, help="most rows to show (default 20)")
        action.set_defaults(function=_quarantine)
    behaviour = commands.add_parser("behaviour", help="behaviour rows of (user_id, as_of) pairs from a file of events")
    for name, text in (
        ("--events", "Parquet: event fields; a category column is taken where there is one"),
        ("--queries", "Parquet: user_id, as_of (ms)"),
        ("--out", "Parquet to write: the queries with their raw behaviour columns"),
        ("--config", "a file of configs/"),
    ):
        behaviour.add_argument(name, required=True, help=text)
    behaviour.add_argument("--buckets", help="Parquet to write: the events' interactions by bucket, region and item")
    behaviour.set_defaults(function=_behaviour)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
