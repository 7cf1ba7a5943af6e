"""``make drill-gate``: a release trained on shuffled labels, through the real stages; the gate must refuse it.

The honest release of the same data is the current one. In a copy of its zones, what users took is shuffled among them;
retrieval, ranker and export run on that. Then the honest data comes back, and the spoiled candidate answers, is judged
and asks to be promoted. The last line on standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from contracts.artifacts import read_json, read_manifest, write_manifest
from contracts.errors import StackError
from deploy import pipeline
from deploy.site import Site, open_site

_TRAINED = ("retrieval-fit", "candidates", "ranker", "retrieval-refit", "export")
_SEED = 20


def main(arguments: list[str]) -> int:
    """Run the drill; 0 when the gate refused, and said why."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.gate", description=__doc__)
    parser.add_argument("config", nargs="?", default="configs/smoke.toml")
    honest = open_site(parser.parse_args(arguments).config)
    console = Console(stderr=True)
    pipeline.run(honest, console)
    drill = dataclasses.replace(honest, root=f"{honest.root}/drill-gate")
    shutil.rmtree(drill.zones.root, ignore_errors=True)
    shutil.copytree(honest.zones.root, drill.zones.root, ignore=shutil.ignore_patterns("stack", "raw"))
    spoil(drill)
    pipeline.run(drill, console, stages(*_TRAINED))
    restore(honest, drill)
    pipeline.run(drill, console, stages("answer"))
    refused = {name: refusal(drill, console, name) for name in ("evaluate", "promote")}
    gate = read_json(f"{drill.zones.answers}/evaluation.json")["gate"]
    kept = drill.release() == honest.release()
    for reason in gate["reasons"]:
        console.print(f"refused: {reason}", markup=False, highlight=False)
    figures = {"refused": refused, "current_release_stays": kept, "reasons": gate["reasons"]}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0 if all(refused.values()) and kept and gate["reasons"] else 1


def stages(*names: str) -> list[pipeline.Stage]:
    """Stages of the pipeline by name."""
    return [stage for stage in pipeline.STAGES if stage.name in names]


def spoil(site: Site) -> None:
    """Give every row's label to another row, and every interaction's item to another interaction."""
    generator = np.random.default_rng(_SEED)
    for folder, column in (("features/rows", "target_item_codes"), ("processed/events", "item_id")):
        files = sorted(Path(site.zones.root, folder).rglob("*.parquet"))
        # One file at a time: its own schema, hive folders left aside. Within a file the counts of items stay.
        for file in files:
            table = pq.ParquetFile(file).read()
            place = table.column_names.index(column)
            shuffled = table[column].take(pa.array(generator.permutation(table.num_rows)))
            pq.write_table(table.set_column(place, table.schema.field(column), shuffled), file)
    for zone in (site.zones.processed, site.zones.features):
        facts = read_manifest(zone)
        write_manifest(zone, f"shuffled-{facts.pop('fingerprint')}", **facts)


def restore(honest: Site, site: Site) -> None:
    """The data as it was; models and releases stay spoiled."""
    for name in ("processed", "features"):
        shutil.rmtree(Path(site.zones.root, name))
        shutil.copytree(Path(honest.zones.root, name), Path(site.zones.root, name))


def refusal(site: Site, console: Console, name: str) -> bool:
    """Whether a stage refuses."""
    try:
        pipeline.run(site, console, stages(name))
    except StackError as error:
        console.print(f"{name}: {error}", markup=False, highlight=False)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
