"""``make bench-quality``: the whole chain and every baseline by four protocols, each against what is asked of it.

The last line on standard output is one JSON object; beside it lie ``result.json`` (all lists) and ``result.png``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from contracts.errors import TriremeError
from contracts.stack import data_folder
from deploy.pipeline import TRAIN_PYTHON
from deploy.site import REPOSITORY
from tests.benchmarks.quality import chain, gather
from tests.benchmarks.quality.protocols import PROTOCOLS, lacking


def main(arguments: list[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when a protocol that could be run failed."""
    options = _parser().parse_args(arguments)
    progress, root = Console(stderr=True), options.root.resolve()
    results, lists, skipped, failed = [], {}, {}, {}
    for protocol in (one for one in PROTOCOLS if one.name in options.only):
        if reason := lacking(protocol, data_folder()):
            skipped[protocol.name] = reason
            continue
        progress.rule(protocol.name)
        try:
            evaluation, seconds = chain.run(protocol, root, progress)
        except TriremeError as error:
            progress.print(str(error), markup=False, highlight=False)
            failed[protocol.name] = str(error).splitlines()[0]
            continue
        results.append(gather.result(protocol, evaluation, seconds))
        lists[protocol.name] = gather.lists(protocol, evaluation)
    output = Console(width=None if sys.stdout.isatty() else 160)
    for table in gather.tables(results, lists, skipped | failed):
        output.print(table)
    found = {"results": results, "skipped": skipped, "failed": failed}
    if results:
        _keep({**found, "lists": lists}, root)
    print(json.dumps(found))
    return 1 if failed else 0


def _keep(found: dict[str, object], root: Path) -> None:
    """The figures as a file, and a picture of them."""
    document = root / "result.json"
    document.write_text(json.dumps(found, indent=1) + "\n")
    argv = [str(TRAIN_PYTHON), "-m", "tests.benchmarks.quality.plot", str(document), str(root / "result.png")]
    subprocess.run(argv, cwd=REPOSITORY, check=True)


def _parser() -> argparse.ArgumentParser:
    names = [protocol.name for protocol in PROTOCOLS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quality", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--root", type=Path, default=REPOSITORY / "var/bench-quality", help="where all zones lie")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
