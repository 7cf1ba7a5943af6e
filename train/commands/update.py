"""Take the newest events into the retrieval that serves, by small steps."""

from __future__ import annotations

import argparse
from typing import Any

from train import commands, current


def arguments(parser: argparse.ArgumentParser) -> None:
    """The data set. There is no forcing: what was learned is not new any more."""
    commands.config_argument(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fill ``models/retrieval/update``, unless nothing is new."""
    config, held = commands.opened(options)
    if done := current.update(held):
        return done
    from train import tracking, update

    with tracking.recorded(config, held, "retrieval", "update") as record:
        figures = update.run(config, held)
        record.figures(figures)
        record.files(f"{held.retrieval}/update")
    return figures
