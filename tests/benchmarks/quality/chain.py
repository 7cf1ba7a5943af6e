"""The ordinary stages over one protocol, in a root of their own: what users run, less promotion."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console

from contracts import artifacts
from contracts.config import load
from contracts.errors import StackError
from contracts.stack import stack_settings
from deploy import pipeline
from deploy.pipeline import STAGES, TRAIN_PYTHON, Stage
from deploy.site import REPOSITORY, Site
from tests.benchmarks.quality.protocols import Protocol

BASELINES = Stage("baselines", "all baselines, tuned on window C", TRAIN_PYTHON, ("train", "baselines"))


def stages() -> list[Stage]:
    """Every stage up to the evaluation, with all baselines before it."""
    chain = [stage for stage in STAGES if stage.name != "promote"]
    place = [stage.name for stage in chain].index("evaluate")
    return [*chain[:place], BASELINES, *chain[place:]]


def run(protocol: Protocol, root: Path, console: Console) -> tuple[dict[str, Any], float]:
    """The evaluation of a protocol, and the seconds of its stages without baselines; skips what is current.

    A closed gate is a result as others are.

    Raises:
        StackError: when a stage fails, with the end of what it said.
    """
    config = REPOSITORY / "configs" / protocol.config
    if protocol.split:
        config = split(protocol, config, root / "splits")
    site = Site(config, load(config), str(root), stack_settings().port_base)
    *before, last = stages()
    figures = pipeline.run(site, console, before)
    document = f"{site.zones.answers}/evaluation.json"
    try:
        figures |= pipeline.run(site, console, [last])
    except StackError:
        if not artifacts.exists(document) or artifacts.read_json(document)["gate"]["passed"]:
            raise
    del figures[BASELINES.name]
    return artifacts.read_json(document), sum(said["seconds"] for said in figures.values())


def split(protocol: Protocol, config: Path, folder: Path) -> Path:
    """The configuration of a re-timed log; the log is made once, as its files tell the etl what is new.

    Raises:
        StackError: when ``etl split`` fails, with what it said.
    """
    made = folder / protocol.name
    mark = artifacts.fingerprint(config, protocol.split, artifacts.code_version("contracts", "etl"))
    if not artifacts.is_current(str(made), mark):
        argv = [str(TRAIN_PYTHON), "-m", "etl", "split", str(config), protocol.split, "--out", str(made)]
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(f"etl split failed with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
        artifacts.write_manifest(str(made), mark)
    return next(made.glob("*.toml"))
