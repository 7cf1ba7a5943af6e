"""``python -m train COMMAND``: the commands are the modules of ``train/commands``; the last line on stdout is JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import pkgutil
import sys
import warnings

from rich.console import Console
from rich.logging import RichHandler

from contracts.errors import TriremeError
from train import commands


def main(arguments: list[str]) -> int:
    """Run one command; 0, or 1 with the reason on standard error (130: interrupted)."""
    options = parser().parse_args(arguments)
    _quiet()
    try:
        print(json.dumps(options.run(options)))
    except TriremeError as error:
        print(f"train {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"train {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="python -m train", description="Fit, tune and judge the models.")
    each = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in sorted(module.name for module in pkgutil.iter_modules(commands.__path__)):
        module = importlib.import_module(f"train.commands.{name}")
        text = (module.__doc__ or "").partition("\n")[0].rstrip(".")
        command = each.add_parser(name.replace("_", "-"), help=text, description=text)
        module.arguments(command)
        command.set_defaults(run=module.run)
    return whole


def _quiet() -> None:
    """Our own log in colour; of the libraries only what is wrong."""
    warnings.filterwarnings("ignore", module=r"(merlin|keras|tensorflow|nvtabular)\b")
    handler = RichHandler(console=Console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("train").setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
