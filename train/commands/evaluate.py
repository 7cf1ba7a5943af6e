"""Judge the recorded answers and close or open the gate."""

from __future__ import annotations

import argparse
from typing import Any

from train import commands, current


def arguments(parser: argparse.ArgumentParser) -> None:
    """The data set."""
    commands.config_argument(parser)
    commands.force_argument(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write ``answers/evaluation.json``, unless it is current."""
    config, held = commands.opened(options)
    if not options.force and (done := current.evaluation(config, held)):
        return done
    from train import evaluate

    return evaluate.run(config, held, options.force)
