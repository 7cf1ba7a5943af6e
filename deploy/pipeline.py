"""The pipeline, from raw logs to a promoted release.

Every stage is a process of its own, in the environment that it needs; what crosses is files.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from contracts.errors import StackError
from deploy.readiness import log_tail
from deploy.site import REPOSITORY, Site

TRAIN_PYTHON = REPOSITORY / ".venv-train" / "bin" / "python"
SERVE_PYTHON = Path(sys.executable)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step: ``python -m <module and command> CONFIG <options>``."""

    name: str
    title: str
    python: Path
    command: tuple[str, str]
    options: tuple[str, ...] = ()

    def argv(self, config: Path) -> list[str]:
        """What is executed."""
        return [str(self.python), "-m", *self.command, str(config), *self.options]


#: In this order; each skips itself when nothing that it reads has changed.
STAGES: tuple[Stage, ...] = (
    Stage("etl", "raw logs to point-in-time rows", TRAIN_PYTHON, ("etl", "run")),
    Stage("retrieval-fit", "retrieval on window A", TRAIN_PYTHON, ("train", "retrieval"), ("--fit",)),
    Stage("candidates", "candidates of windows B and C", SERVE_PYTHON, ("ensemble", "candidates")),
    Stage("ranker", "ranker on B, blend on C", TRAIN_PYTHON, ("train", "ranker")),
    Stage("retrieval-refit", "retrieval on all before the cut", TRAIN_PYTHON, ("train", "retrieval"), ("--refit",)),
    Stage("export", "models to a release", SERVE_PYTHON, ("ensemble", "export")),
    Stage("answer", "the release answers the evaluation", SERVE_PYTHON, ("ensemble", "answer")),
    Stage("evaluate", "evaluation and gate", TRAIN_PYTHON, ("train", "evaluate")),
    Stage("promote", "the release becomes the current one", SERVE_PYTHON, ("ensemble", "promote")),
)

#: What takes in the newest events, the cut having been moved: training goes on, and ranker and blend stay.
UPDATE: tuple[Stage, ...] = (
    STAGES[0],
    Stage("update", "the newest events into retrieval", TRAIN_PYTHON, ("train", "update")),
    *STAGES[-4:],
)


def run(site: Site, console: Console, stages: Sequence[Stage] = STAGES) -> dict[str, dict[str, Any]]:
    """Run the stages in order; returns the key figures (last line of standard output) of each, and its seconds.

    Progress goes to ``console``, what the stages say to the folder ``logs`` and, line by line, to ``console``.

    Raises:
        StackError: at the first stage that fails: names it and shows the end of what it said.
    """
    site.logs.mkdir(parents=True, exist_ok=True)
    figures = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for number, stage in enumerate(stages, start=1):
            task = progress.add_task(f"[{number}/{len(stages)}] {stage.name}: {stage.title}", total=None)
            started = time.monotonic()
            said = _run_stage(site, stage, progress.console)
            seconds = round(time.monotonic() - started, 1)
            progress.update(task, total=1, completed=1)
            figures[stage.name] = {**said, "seconds": seconds}
    return figures


def environment(site: Site, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The inherited environment, our settings, and as many threads as there are cores."""
    threads = str(os.cpu_count() or 1)
    return {
        **environ,
        **site.environment(),
        "OMP_NUM_THREADS": environ.get("OMP_NUM_THREADS", threads),
        "TF_CPP_MIN_LOG_LEVEL": environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "PYTHONUNBUFFERED": "1",
    }


def _run_stage(site: Site, stage: Stage, console: Console) -> dict[str, Any]:
    output = site.logs / f"{stage.name}.log"
    if not stage.python.exists():
        raise StackError(f"{stage.name}: {stage.python} is not there; run: make setup")
    with output.open("w", encoding="utf-8") as log, _started(site, stage, console.width) as process:
        assert process.stdout and process.stderr
        follower = threading.Thread(target=_follow, args=(process.stderr, log, console), daemon=True)
        follower.start()
        try:
            lines = [line for line in process.stdout if line.strip()]
            code = process.wait()
        except BaseException:
            process.terminate()  # interrupted (Ctrl-C): the stage must not go on alone
            raise
        follower.join()
        log.writelines(lines)
    if code != 0:
        raise StackError(f"{stage.name} failed with exit code {code}; the end of {output}:\n{log_tail(output)}")
    return _figures(stage, lines)


def _started(site: Site, stage: Stage, width: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        stage.argv(site.config_path),
        cwd=REPOSITORY,
        # What a stage says is shown indented by two columns.
        env={**environment(site), "COLUMNS": str(width - 2)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _follow(stream: IO[str], log: IO[str], console: Console) -> None:
    """Copy a stage's progress to its log and, quietly, to the terminal."""
    for line in stream:
        log.write(line)
        log.flush()
        if line.strip():
            console.print(f"  {line.rstrip()}", style="dim", markup=False, highlight=False)


def _figures(stage: Stage, lines: Sequence[str]) -> dict[str, Any]:
    try:
        figures = json.loads(lines[-1])
    except (IndexError, ValueError):
        figures = None
    if not isinstance(figures, dict):
        raise StackError(f"{stage.name}: expected a JSON object as the last line of its output, got {lines[-1:]}")
    return figures
