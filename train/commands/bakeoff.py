"""Train the ranker's architectures side by side and compare them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from contracts.config_checks import WORDS
from train import commands


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which of them."""
    commands.config_argument(parser)
    parser.add_argument("--kinds", nargs="+", choices=WORDS["ranker"], default=WORDS["ranker"], help="default: all")
    half = max(1, (os.cpu_count() or 2) // 2)
    parser.add_argument("--workers", type=int, default=half, help=f"trainings at a time (default here: {half})")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train, compare, and keep nothing but the record."""
    config, held = commands.opened(options)
    from train import bakeoff

    return bakeoff.run(config, held, tuple(options.kinds), options.workers)
