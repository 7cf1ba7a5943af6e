"""Tune and fit what answers are measured against; evaluate shows all that there are."""

from __future__ import annotations

import argparse
from typing import Any

from train import commands


def arguments(parser: argparse.ArgumentParser) -> None:
    """The data set."""
    commands.config_argument(parser)
    commands.force_argument(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fill ``baselines/`` with those that are not current."""
    from train import baselines

    return baselines.run(*commands.opened(options), force=options.force)
