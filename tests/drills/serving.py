"""``make drill-serving``: what serving survives, under an open-loop load through Envoy; a table, and one JSON line.

Each drill sends its requests at a rate, breaks something after a tenth of them, mends it (or leaves that to the stack),
and looks at every answer: failed, degraded (a stage was skipped, and the answer says so), or whole.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts.tensors import STEPS
from deploy.catalogue import read_histories
from deploy.site import Site
from tests.drills import hostile
from tests.drills.load import Expected, Load, Outcome
from tests.drills.stand import Stand, check_native, prepare, stand

REQUESTS = 5000
SLOW_SECONDS = 0.2
#: So long without a degraded answer is recovery.
CALM_SECONDS = 5.0
#: A stack that was broken has so long, after the load, to be whole again.
_WHOLE_SECONDS = 90.0


@dataclasses.dataclass(frozen=True)
class Drill:
    """What is broken, for how long (0: once, and the stack mends it), and how it is lifted.

    ``degrades``: answers must have been degraded meanwhile, or the fault did not strike.
    """

    name: str
    backend: str
    begin: Callable[[Stand], None]
    lift: Callable[[Stand], None] = lambda stand: None
    seconds: float = 0.0
    degrades: bool = False


def drills(stage: str) -> list[Drill]:
    """All of them; ``stage`` is the one that raises and hangs."""

    def fault(kind: str, backend: str, seconds: float) -> Drill:
        begin: Callable[[Stand], None] = lambda stand: _write(stand, f"{stage}:{kind}")  # noqa: E731
        lift: Callable[[Stand], None] = lambda stand: _write(stand, "")  # noqa: E731
        return Drill(f"stage_{kind}s_{backend}", backend, begin, lift, seconds, degrades=True)

    def stop(program: str) -> Callable[[Stand], None]:
        return lambda stand: stand.supervisor.stop_program(program)

    def start(program: str) -> Callable[[Stand], None]:
        return lambda stand: stand.supervisor.start_program(program) and None

    def slow(stand: Stand) -> None:
        stand.proxy.delay(SLOW_SECONDS)

    return [
        Drill("stub_killed", "python", lambda stand: stand.kill_stub("triton_a", "ranker")),
        fault("raise", "python", 10),
        fault("hang", "python", 12),
        Drill("redis_killed", "native", _kill_redis, start("redis"), 10, degrades=True),
        Drill("redis_slow", "native", slow, lambda stand: stand.proxy.delay(0), 15, degrades=True),
        Drill("broker_gone", "native", stop("broker"), start("broker"), 15),
        Drill("tritonserver_killed", "native", lambda stand: stand.kill("triton_b")),
        fault("raise", "native", 10),
        # Shorter: the remedy is a start of the whole server, which is not tried again for a minute.
        fault("hang", "native", 5),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run the drills; 1 when a request failed, a fault did not strike, or the stack did not recover."""
    asked = _parser().parse_args(arguments)
    console = Console(stderr=True)
    stages = [step.name for step in STEPS if step.name not in ("feature_lookup", "cold_start")]
    chosen = [
        drill
        for drill in drills(random.Random(asked.seed).choice(stages))
        if not asked.only or any(name in drill.name for name in asked.only.split(","))
    ]
    attack = not asked.only or "hostile" in asked.only
    site = prepare(asked.config, console)
    if attack or any(drill.backend == "native" for drill in chosen):
        check_native(site)
    rows = []
    with _progress(console) as progress:
        for backend in ("python", "native"):
            mine = [drill for drill in chosen if drill.backend == backend]
            if not mine and not (attack and backend == "native"):
                continue
            console.print(f"{backend}: the stack starts")
            with stand(site, backend) as stood:
                rows += [_drill(stood, drill, asked.rate, asked.seed, progress) for drill in mine]
                if attack and backend == "native":
                    rows.append(hostile.attack(stood, asked.hostile, asked.seed, progress))
    _say(rows, console)
    Console(width=120).print(_table(rows))
    sys.stdout.write(json.dumps({"drills": rows, "seed": asked.seed, "rate": asked.rate}) + "\n")
    return 1 if any(row["failed"] or row["recovered_in_ms"] is None or row["wrong"] for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.serving", description=__doc__)
    parser.add_argument("config", nargs="?", default="configs/smoke.toml")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second (default: %(default)s)")
    parser.add_argument("--only", default="", help="names or parts of names of drills, commas between")
    parser.add_argument("--hostile", type=int, default=100_000, help="hostile requests (default: %(default)s)")
    return parser


def _drill(stood: Stand, drill: Drill, rate: float, seed: int, progress: Progress) -> dict[str, Any]:
    site, count = stood.site, max(REQUESTS, round(rate * 50))
    task = progress.add_task(drill.name, total=count)
    load = Load(site.ports["public"], sorted(read_histories(site)), _expected(site), rate, seed)
    lifted = threading.Event()
    instants: list[float] = []
    mender = threading.Thread(target=_break_and_mend, args=(stood, drill, instants, lifted))

    def advance(sent: int) -> None:
        progress.update(task, completed=sent)
        if sent == count // 10:
            mender.start()

    try:
        outcomes = load.run(count, advance)
    finally:
        load.close()
    mender.join()
    wrong = "" if drill.degrades is False or any(o.skipped for o in outcomes) else "the fault did not strike"
    end = time.monotonic() + _WHOLE_SECONDS
    while not stood.is_whole():
        if time.monotonic() > end:
            wrong = "the stack is not whole again"
            break
        time.sleep(0.2)
    return _row(drill.name, outcomes, instants[0], wrong)


def _break_and_mend(stood: Stand, drill: Drill, instants: list[float], lifted: threading.Event) -> None:
    drill.begin(stood)
    lifted.wait(drill.seconds)
    drill.lift(stood)
    instants.append(time.monotonic())


def _row(name: str, outcomes: Sequence[Outcome], lifted: float, wrong: str) -> dict[str, Any]:
    failed = [outcome for outcome in outcomes if outcome.problem]
    took = [(outcome.ended - outcome.sent) * 1000 for outcome in outcomes]
    return {
        "name": name,
        "requests": len(outcomes),
        "failed": len(failed),
        "degraded": sum(not outcome.problem and bool(outcome.skipped) for outcome in outcomes),
        "recovered_in_ms": recovered_in_ms(outcomes, lifted),
        "p50_ms": round(float(np.percentile(took, 50)), 1),
        "p99_ms": round(float(np.percentile(took, 99)), 1),
        "max_ms": round(max(took), 1),
        "skipped": dict(Counter(stage for outcome in outcomes for stage in outcome.skipped)),
        "failures": dict(Counter(f"{outcome.protocol}: {outcome.problem}" for outcome in failed).most_common(5)),
        "wrong": wrong,
    }


def recovered_in_ms(outcomes: Sequence[Outcome], lifted: float) -> int | None:
    """From the lifting of a fault until answers are whole again and stay so for ``CALM_SECONDS``; None: they never are.

    A hiccup of a busy machine half a minute later is not the fault's.
    """
    calm = lifted
    for outcome in outcomes:
        if outcome.sent > calm + CALM_SECONDS:
            break
        if not outcome.is_whole and outcome.ended > lifted:
            calm = max(calm, outcome.ended)
    return round((calm - lifted) * 1000) if outcomes[-1].sent > calm + CALM_SECONDS else None


def _expected(site: Site) -> Expected:
    items = pq.read_table(f"{site.zones.features}/items.parquet", columns=["item_id"])["item_id"]
    return Expected(site.release(), frozenset(items.to_pylist()))


def _write(stood: Stand, text: str) -> None:
    partial = stood.fault.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(stood.fault)


def _kill_redis(stood: Stand) -> None:
    """Dead, and not started again until the fault is lifted."""
    stood.kill("redis")
    stood.supervisor.stop_program("redis")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="What serving survived")
    numbers = {"requests": "requests", "failed": "failed", "degraded": "degraded", "recovered_in_ms": "recovered ms"}
    numbers |= {"p50_ms": "p50", "p99_ms": "p99", "max_ms": "most ms"}
    table.add_column("drill", no_wrap=True)
    for heading in numbers.values():
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(row["name"], *(str(row.get(key, "")) for key in numbers))
    return table


def _say(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """What went wrong, a line each."""
    for row in rows:
        said = [row["wrong"], *(f"{number} x {text}" for text, number in row["failures"].items())]
        for text in filter(None, said):
            console.print(f"{row['name']}: {text}", markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
