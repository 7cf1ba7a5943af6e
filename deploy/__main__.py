"""``python -m deploy COMMAND CONFIG``: the local stack and the pipeline that fills it."""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import TriremeError
from contracts.stack import stack_settings

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_CONFIG = "configs/completejourney.toml"


def main() -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "pipeline, stack and 'see it learn', from what is there; leaves the stack up"),
        ("pipeline", "raw data to a promoted release"),
        ("update", "the newest events to a promoted release, by small steps of training"),
        ("up", "start the stack"),
        ("learn", "see it learn, against the running stack"),
        ("status", "what runs, on which port, since when"),
        ("memory", "what the parts hold in memory (PSS), at most within --seconds"),
        ("down", "stop all that up started, and only that"),
        ("watchdog", "look after the tritonservers of the running stack (a part of it)"),
        ("prometheus", "Prometheus on what the running stack measures, where it is installed; until interrupted"),
        ("doctor", "what this machine lacks, each with the line that installs it"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("config", nargs="?", default=DEFAULT_CONFIG, help="default: %(default)s")
        if name == "memory":
            command.add_argument("--seconds", type=float, default=0.0, help="watch for so long (default: now)")
    arguments = parser.parse_args()
    run = {"doctor": lambda config: _doctor(), "watchdog": _watchdog, "prometheus": _prometheus}
    try:
        return run.get(arguments.command, functools.partial(_command, arguments))(arguments.config)
    except TriremeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _doctor() -> int:
    # Before setup there is neither rich nor anything else.
    from deploy import doctor
    from deploy.ports import ports

    settings = stack_settings()
    findings = doctor.examine(Path(settings.root), ports(settings.port_base))
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'LACKS'} {finding.what}: {finding.found}")
        if not finding.ok:
            print(f"      -> {finding.mend}")
    lacking = [finding.what for finding in findings if not finding.ok]
    print(json.dumps({"lacking": lacking}))
    return 1 if lacking else 0


def _watchdog(config: str) -> int:
    from deploy.site import open_site
    from deploy.watchdog import watch

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    watch(open_site(config))
    return 0


def _prometheus(config: str) -> int:
    from deploy import monitoring
    from deploy.ports import address
    from deploy.site import open_site

    site = open_site(config)
    argv = monitoring.prometheus_argv(site)
    print(f"http://{address(site.ports['prometheus'])}/graph?g0.expr=trireme:degraded_answers:ratio_rate1m", flush=True)
    os.execv(argv[0], argv)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe has no width; rich would fold tables at 80
    return console


def _command(arguments: argparse.Namespace, config: str) -> int:
    from rich.logging import RichHandler

    from deploy import learn, memory, pipeline, run, stack, story
    from deploy.site import open_site

    progress, output = _console(stderr=True), _console()
    handler = RichHandler(console=progress, show_path=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    # While a broker starts, its client reports every refused connection.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    command, site = arguments.command, open_site(config)
    started = time.monotonic()
    figures: dict[str, Any] = {}
    if command == "run":
        figures = run.run(site, progress, output)
    elif command == "pipeline":
        figures = pipeline.run(site, progress)
    elif command == "update":
        figures = pipeline.run(site, progress, pipeline.UPDATE)
    elif command == "up":
        stack.up(site)
        figures = {"public_url": site.public_url, "events_url": site.events_url, "release": site.release()}
    elif command == "learn":
        result = learn.learn(site)
        story.tell(output, site, result)
        figures = result.key_figures()
    elif command == "down":
        figures = {"was_up": stack.down(site)}
    elif command == "memory":
        held = memory.peak(stack.status(site), arguments.seconds)
        output.print(memory.table(held))
        figures = {"pss_mib": {name: round(size / memory.MIB, 1) for name, size in held.items()}}
        figures["total_mib"] = round(sum(held.values()) / memory.MIB, 1)
    else:
        lines = stack.status(site)
        output.print(stack.table(lines))
        figures = {"parts": [line.to_json() for line in lines]}
    if command in ("up", "learn", "down"):
        figures["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
