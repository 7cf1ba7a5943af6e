"""``make run``: pipeline, stack, "see it learn", latency; one table for people and one JSON object for scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from contracts import artifacts
from contracts.door import door_settings
from contracts.errors import StackError
from deploy import learn, pipeline, stack, story
from deploy.pipeline import REPOSITORY
from deploy.site import Site


def run(site: Site, progress: Console, output: Console) -> dict[str, Any]:
    """Everything, from what is there; the stack stays up.

    Args:
        site: which data set, where.
        progress: for what happens (standard error).
        output: for what a person reads in the end (standard output).

    Returns:
        The key figures; see the issue for the ones that scripts rely on.

    Raises:
        StackError: when a part or a stage fails, or when the door asks for what we were not given, before anything.
    """
    if not door_settings().may_ask:
        raise StackError(
            "TRIREME_CLIENT_CA: expected TRIREME_CLIENT_CERT and TRIREME_CLIENT_KEY with it, a certificate of that "
            'authority to show at the door: without one nobody can "see it learn" (make up needs none)'
        )
    started = time.monotonic()
    figures = pipeline.run(site, progress)
    stack_started = time.monotonic()
    stack.up(site)
    figures["up"] = {"seconds": round(time.monotonic() - stack_started, 1)}
    learn_started = time.monotonic()
    lessons = learn.learn(site)
    figures["learn"] = {**lessons.key_figures(), "seconds": round(time.monotonic() - learn_started, 1)}
    latency = measure_latency(site)
    story.tell(output, site, lessons)
    summary = _summary(site, figures, latency, (time.monotonic() - started) / 60)
    _print(output, summary, figures)
    return summary


def measure_latency(site: Site) -> dict[str, Any]:
    """What ``python -m loadtest latency`` measures.

    Raises:
        StackError: when it fails.
    """
    argv = [sys.executable, "-m", "loadtest", "latency", str(site.config_path)]
    env = pipeline.environment(site)
    done = subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"loadtest latency failed with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _summary(site: Site, figures: dict[str, Any], latency: dict[str, Any], minutes: float) -> dict[str, Any]:
    processed = artifacts.read_manifest(site.zones.processed)
    evaluation = artifacts.read_json(f"{site.zones.answers}/evaluation.json")
    return {
        "minutes": round(minutes, 2),
        "events": processed["events"],
        "quarantined": processed["quarantined"],
        "ndcg_at_10": evaluation["ndcg_at_10"],
        "ndcg_at_10_popular": evaluation["ndcg_at_10_popular"],
        "rest_p50_ms": latency["rest_p50_ms"],
        "grpc_p50_ms": latency["grpc_p50_ms"],
        "learned_in_ms": figures["learn"]["learned_in_ms"],
        "release": site.release(),
        "public_url": site.public_url,
        "events_url": site.events_url,
        "households": figures["learn"]["households"],
        "households_rose": figures["learn"]["households_rose"],
        "mean_rise": figures["learn"]["mean_rise"],
        "stage_seconds": {name: said["seconds"] for name, said in figures.items()},
    }


_MEANINGS = {
    "minutes": "from raw data to here, without downloads",
    "events": "trusted events of the log",
    "quarantined": "rows that broke a rule (with reasons in quarantine/)",
    "ndcg_at_10": "of the whole chain as served, products new to the household",
    "ndcg_at_10_popular": "of most popular, same protocol",
    "rest_p50_ms": "one client, through Envoy",
    "grpc_p50_ms": "one client, through Envoy",
    "learned_in_ms": "p95: purchase accepted to changed answer",
    "households_rose": "of those that bought from another department",
    "mean_rise": "of that department's share of the top 20",
    "release": "what is served now",
    "public_url": "ask here (REST; gRPC on the same port)",
    "events_url": "send events here",
}


def _print(output: Console, summary: dict[str, Any], figures: dict[str, Any]) -> None:
    stages = Table(title="What took how long")
    stages.add_column("stage")
    stages.add_column("seconds", justify="right")
    for name, said in figures.items():
        stages.add_row(name, f"{said['seconds']:.1f}")
    output.print(stages)
    table = Table(title=f"Trireme is up: {summary['public_url']}")
    table.add_column("what")
    table.add_column("figure", justify="right", overflow="fold")
    table.add_column("meaning")
    for name, meaning in _MEANINGS.items():
        table.add_row(name, str(summary[name]), meaning)
    output.print(table)
    output.print("make status: what runs    make down: stop it    python -m deploy learn CONFIG: see it learn again")
