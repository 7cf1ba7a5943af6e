"""What another policy would have earned, from logged impressions with their propensities."""

from __future__ import annotations

import argparse
from typing import Any

#: Field of ``train.off_policy.Logged`` -> what its column holds; the first three must be there.
_COLUMNS = {
    "reward": "what came of an impression",
    "propensity": "the probability with which its item was shown",
    "target": "the probability with which the judged policy would have shown it",
    "unit": "the user or session, whose rows depend on each other (default: every row by itself)",
    "predicted": "a model's reward of the item shown; with --predicted-target for the doubly robust estimate",
    "predicted_target": "the model's mean reward of what the judged policy would show",
}
_NEEDED = ("reward", "propensity", "target")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The log and the names of its columns."""
    parser.add_argument("log", help="a Parquet or CSV file, a row an impression")
    for name, text in _COLUMNS.items():
        needed = name if name in _NEEDED else None
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="COLUMN", default=needed, help=text)
    parser.add_argument("--clip", type=float, default=100.0, help="greatest weight of the clipped estimate")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The estimates, and how far to trust them."""
    from train import off_policy

    columns = {name: getattr(options, name) for name in _COLUMNS if getattr(options, name)}
    return off_policy.estimates(off_policy.read(options.log, columns), options.clip)
