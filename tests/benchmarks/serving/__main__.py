"""``make bench-serving``: a release behind tritonserver against the service that one would write instead.

Redis, servers and load generators share this machine's cores; ratios are of cells that follow each other, medians of
rounds. The last line on standard output is one JSON object; cells, perf_analyzer's CSVs and a plot are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from contracts.errors import TriremeError
from deploy.pipeline import TRAIN_PYTHON
from deploy.site import REPOSITORY, open_site
from ensemble.steps.release import Release
from tests.benchmarks.serving import figures, load, rounds, users
from tests.benchmarks.serving.figures import TARGETS
from tests.benchmarks.serving.load import Plan
from tests.benchmarks.serving.rounds import Options
from tests.benchmarks.serving.servers import Site

BATCH = 256
REQUESTS = 4_000
SEED = 20


def main(arguments: list[str]) -> int:
    """Run the benchmark; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    console, started = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - started:7.1f} s  {text}", markup=False, highlight=False)

    options = Options(parsed.rounds, tuple(parsed.concurrency), tuple(parsed.sizes), parsed.equal_users)
    if parsed.quick:
        options = Options(1, (1, 32), (), 200)
    load.wrk()
    try:
        found = measure(parsed.config, options, parsed.seconds, parsed.results, say)
    except TriremeError as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    Console().print(table(found))
    print(json.dumps(found))
    return 0


def measure(config: str, options: Options, seconds: float, kept: Path, say: rounds.Say) -> dict[str, Any]:
    """Everything; what was found is written to ``kept`` after every size."""
    place = open_site(config)
    release = Release.open(f"{place.zones.releases}/{place.release()}")
    others = os.getloadavg()[0]
    folder = rounds.folder_of(Path(place.root) / place.config.name)
    tables = kept / "perf_analyzer"
    for made in (folder, tables):
        made.mkdir(parents=True, exist_ok=True)
    plan = Plan(folder, tables, seconds, BATCH)
    with Site(folder, place.port_base) as site:
        store = site.redis()
        known = users.fill_store(store, place.config, place.zones)
        asked = users.drawn(place.zones, known, REQUESTS, SEED)
        users.write_requests(folder, asked, BATCH)
        say(f"{len(known)} users in the store")
        with Site(folder, place.port_base) as servers:
            cells, found = rounds.own_size(servers, plan, release, store, known, options, say)
        own = rounds.catalogue(release)
        # Retrieval looks at every item; there is no index that could miss one.
        found |= {"items": own, "retrieval": "exact", "ann_recall_at_100": 1.0, "load_before": round(others, 1)}
        for items in (0, *options.sizes):
            if items:
                with Site(folder, place.port_base) as servers:
                    cells += rounds.larger(servers, plan, release, items, store, known, options, say)
            figures.write_cells(kept / "cells.csv", cells)
            found |= figures.figures(cells, own)
            (kept / "result.json").write_text(json.dumps(found, indent=1) + "\n")
    argv = [str(TRAIN_PYTHON), "-m", "tests.benchmarks.serving.plot", str(kept / "cells.csv"), str(kept / "result.png")]
    subprocess.run(argv, cwd=REPOSITORY, check=True)
    return found


def table(found: dict[str, Any]) -> Table:
    """What people read."""
    shown = Table("figure", "found", "asked", "reached", title="Serving, against FastAPI on the same cores")
    for target in TARGETS:
        value = found.get(target.figure)
        told = "not measured" if value is None else f"{value:.2f}"
        bound = f"{'at least' if target.least else 'at most'} {target.bound:g}"
        shown.add_row(target.text, told, bound, "" if value is None else "yes" if target.met(value) else "no")
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving", description=__doc__)
    parser.add_argument("config", help="a TOML whose pipeline has run")
    parser.add_argument("--rounds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a cell; default: %(default)s")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32, 64], metavar="N")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000, 1_000_000], help="catalogues made from it")
    parser.add_argument("--equal-users", type=int, default=1000, help="whose answers are compared")
    parser.add_argument("--quick", action="store_true", help="one round at 1 and 32 clients, the release as it is")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results/serving", help="where results are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
