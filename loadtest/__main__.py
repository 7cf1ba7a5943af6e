"""``python -m loadtest latency CONFIG``: what one client waits for an answer of the running stack."""

from __future__ import annotations

import argparse
import json
import sys

from contracts.config import load, stack_settings
from contracts.errors import TriremeError
from loadtest.latency import measure


def main() -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    latency = commands.add_parser("latency", help="median and p95 by REST and gRPC, one client")
    latency.add_argument("config", nargs="?", default="configs/completejourney.toml")
    latency.add_argument("--count", type=int, default=300, help="requests by each protocol (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        print(json.dumps(measure(load(arguments.config), stack_settings(), arguments.count)))
    except TriremeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
