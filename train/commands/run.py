"""Train all that is not current, on one or several processes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from contracts.artifacts import MANIFEST, Zones, exists
from contracts.config import Config
from train import commands, current


def arguments(parser: argparse.ArgumentParser) -> None:
    """How many processes."""
    commands.config_argument(parser)
    commands.force_argument(parser)
    parser.add_argument(
        "--ranks", type=int, default=1, help="data-parallel processes (Horovod), one a GPU; default: %(default)s"
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Fill ``models/retrieval`` and, where candidates are there, ``models/ranker``; the figures of each."""
    if options.ranks > 1:
        from train import launch

        force = ["--force"] if options.force else []
        return json.loads(launch.ranks(options.ranks, ["-m", "train", "run", options.config, *force]).splitlines()[-1])
    config, held = commands.opened(options)
    # Decided before Horovod brings the ranks together, and so before any of them changes a file.
    done = {} if options.force else {name: facts for name, fact in _stages(config, held).items() if (facts := fact())}
    missing = [name for name in _stages(config, held) if name not in done]
    if not missing:
        return done
    from train import ranks

    ranks.place()
    from train import ranker, retrieval

    for name in missing:
        if name == "ranker":
            done[name] = ranker.run(config, held, force=True)
        else:
            done[name] = retrieval.run(config, held, name, force=True)
        ranks.meet()  # the next stage reads what the leader has just written
    return done


def _stages(config: Config, held: Zones) -> dict[str, Callable[[], dict[str, Any] | None]]:
    """What there is to train in order -> its figures where it is current."""
    stages: dict[str, Callable[[], dict[str, Any] | None]] = {
        kind: lambda kind=kind: current.facts(f"{held.retrieval}/{kind}", current.retrieval_mark(config, held, kind))
        for kind in ("fit", "refit")
    }
    if exists(f"{held.candidates}/{MANIFEST}"):
        stages["ranker"] = lambda: current.facts(held.ranker, current.ranker_mark(config, held))
    return stages
