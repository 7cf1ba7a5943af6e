"""Train again what a recorded run trained, and compare the figures."""

from __future__ import annotations

import argparse
from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run."""
    parser.add_argument("run_id", help="as MLflow shows it, of `train retrieval`, `train ranker` or a trial")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train from the record alone, in a folder that is taken away again."""
    from train import reproduction

    return reproduction.run(options.run_id)
