"""Train the ranker, its calibration and its weight against retrieval."""

from __future__ import annotations

import argparse
from typing import Any

from train import commands, current


def arguments(parser: argparse.ArgumentParser) -> None:
    """The data set."""
    commands.config_argument(parser)
    commands.force_argument(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fill ``models/ranker``, unless it is current."""
    config, held = commands.opened(options)
    if not options.force and (done := current.facts(held.ranker, current.ranker_mark(config, held))):
        return done
    from train import ranker, tracking

    with tracking.recorded(config, held, "ranker", config.train.ranker) as record:
        figures = ranker.run(config, held, options.force, record.epoch)
        record.figures(figures)
        record.files(held.ranker)
    return figures
