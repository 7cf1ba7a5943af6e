"""Judge the recorded answers and close or open the gate."""

from __future__ import annotations

import argparse
from typing import Any

from contracts.artifacts import read_json
from contracts.errors import GateError
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
    from train import evaluate, tracking

    figures, refused = {}, None
    with tracking.recorded(config, held, "evaluate") as record:
        try:
            figures = evaluate.run(config, held, options.force)
        except GateError as error:
            refused = error  # An evaluation that closes the gate has run as it should, and has figures.
        record.figures(read_json(f"{held.answers}/{current.EVALUATION}"))
        record.files(held.answers)
    if refused:
        raise refused
    return figures
