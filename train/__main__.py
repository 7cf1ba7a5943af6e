"""``python -m train``: ``retrieval CONFIG (--fit | --refit)``, ``ranker``, ``baselines`` and ``evaluate CONFIG``."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import warnings
from typing import Any

from rich.console import Console
from rich.logging import RichHandler

from contracts.artifacts import Zones, zones
from contracts.config import Config, load
from contracts.errors import TriremeError
from contracts.stack import stack_settings
from train import current


def main() -> int:
    """Run one command; 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m train", description="Fit, tune and judge the models.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("retrieval", "two-tower and item-item"),
        ("ranker", "ranker, its calibration and its weight against retrieval"),
        ("baselines", "tune and fit what answers are measured against; evaluate shows all that there are"),
        ("evaluate", "judge the recorded answers and close or open the gate"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("config", help="a TOML of configs/")
        command.add_argument("--force", action="store_true", help="run even if nothing changed")
        if name == "retrieval":
            which = command.add_mutually_exclusive_group(required=True)
            which.add_argument("--fit", dest="kind", action="store_const", const="fit", help="window A only")
            which.add_argument("--refit", dest="kind", action="store_const", const="refit", help="all before the cut")
    options = parser.parse_args()
    _quiet()
    try:
        print(json.dumps(_run(options)))
    except TriremeError as error:
        print(f"train {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> dict[str, Any]:
    config = load(options.config)
    held = zones(stack_settings().root, config)
    if not options.force and (done := _done(options, config, held)):
        return done
    # Imported here, because TensorFlow takes ten seconds that neither a wrong setting, what is current nor evaluate
    # should wait for.
    stage = importlib.import_module(f"train.{options.command}")
    kind = (options.kind,) if options.command == "retrieval" else ()
    return stage.run(config, held, *kind, force=options.force)


def _done(options: argparse.Namespace, config: Config, held: Zones) -> dict[str, Any] | None:
    """The figures of what need not be made again."""
    if options.command == "retrieval":
        mark = current.retrieval_mark(config, held, options.kind)
        return current.facts(f"{held.retrieval}/{options.kind}", mark)
    if options.command == "ranker":
        return current.facts(held.ranker, current.ranker_mark(config, held))
    if options.command == "baselines":
        return None  # it knows itself which of them are there
    return current.evaluation(config, held)


def _quiet() -> None:
    """Our own log in colour; of the libraries only what is wrong."""
    warnings.filterwarnings("ignore", module=r"(merlin|keras|tensorflow|nvtabular)\b")
    handler = RichHandler(console=Console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("train").setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
