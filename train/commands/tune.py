"""Search for better settings of a stage, judged on validation rows."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from train import commands, search_space


def arguments(parser: argparse.ArgumentParser) -> None:
    """What is tuned, and how long."""
    commands.config_argument(parser)
    parser.add_argument("--stage", choices=tuple(search_space.SPACES), required=True)
    parser.add_argument("--trials", type=int, default=30, help="in all, those of earlier commands too (default 30)")
    half = max(1, (os.cpu_count() or 2) // 2)
    parser.add_argument("--workers", type=int, default=half, help=f"trainings at a time (default here: {half})")
    parser.add_argument("--resume", action="store_true", help="go on with the trials that there are")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write ``tuning/<stage>/best.toml``."""
    config, held = commands.opened(options)
    from train import tuning

    source, resume = Path(options.config), options.resume
    return tuning.run(config, source, held, options.stage, options.trials, options.workers, resume)
