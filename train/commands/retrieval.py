"""Train the two-tower model and the item-item table."""

from __future__ import annotations

import argparse
from typing import Any

from train import commands, current


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which windows are learned."""
    commands.config_argument(parser)
    commands.force_argument(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--fit", dest="kind", action="store_const", const="fit", help="window A only")
    which.add_argument("--refit", dest="kind", action="store_const", const="refit", help="all before the cut")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fill ``models/retrieval/<kind>``, unless it is current."""
    config, held = commands.opened(options)
    mark = current.retrieval_mark(config, held, options.kind)
    if not options.force and (done := current.facts(f"{held.retrieval}/{options.kind}", mark)):
        return done
    from train import retrieval, tracking

    with tracking.recorded(config, held, "retrieval", options.kind) as record:
        figures = retrieval.run(config, held, options.kind, options.force, record.epoch)
        record.figures(figures)
        record.files(f"{held.retrieval}/{options.kind}")
    return figures
