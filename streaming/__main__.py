"""``python -m streaming COMMAND CONFIG``: the processes of the stream, and the online store's batch commands.

Processes (until SIGTERM): ``collector``, ``lake``, ``processor``, ``impressions``. Commands: ``topics``, ``apply``,
``materialize``, ``rebuild``, ``buckets``, ``schemas``; the last line of their standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from contracts.artifacts import Zones, zones
from contracts.config import Config, load
from contracts.errors import StackError, TriremeError
from streaming.settings import StreamSettings, stream_settings

CONSOLE = Console(stderr=True)
log = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # kafka-python reports every refused connection several times a second; our own loops say what matters.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        figures = options.function(options)
    except TriremeError as error:
        CONSOLE.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False)
        return 1
    if figures is not None:
        print(json.dumps(figures))
    return 0


def _collector(options: argparse.Namespace) -> None:
    from streaming import codec, collector

    _loaded(options)
    codec.connect()
    collector.serve(stream_settings(), options.ack_seconds)


def _lake(options: argparse.Namespace) -> None:
    from streaming import codec, lake_writer
    from streaming.shown import ImpressionBuffer

    _, zone, settings = _loaded(options)
    codec.connect()
    stop = _stop_on_signal()
    with _metrics(settings.lake_port):
        lake_writer.run_all(settings, zone, stop, options.flush_seconds, (lake_writer.Buffer, ImpressionBuffer))


def _processor(options: argparse.Namespace) -> None:
    from streaming import codec, processor

    config, zone, settings = _loaded(options)
    codec.connect()
    stop = _stop_on_signal()
    with _metrics(settings.processor_port):
        processor.run(settings, config, zone, stop)


def _impressions(options: argparse.Namespace) -> None:
    from streaming import codec, impressions
    from streaming.spool import Spool

    config, zone, settings = _loaded(options)
    reader = codec.of_impressions()
    log.info("impressions are written with schema %d", reader.schema_id)
    if not settings.impressions:
        raise StackError("TRIREME_IMPRESSIONS: expected the path of a socket, got none")
    stop = _stop_on_signal()
    with impressions.listening(settings.impressions) as server, _metrics(settings.impressions_port):
        # Opened by whoever has the socket, and by nobody else: a spool is one process's.
        spool = Spool(Path(settings.root) / config.name / "stack" / "impressions")
        if spool.damaged:
            log.error("the spool ended within a record in %d segment(s): those records are gone", spool.damaged)
        impressions.run(settings, zone, reader, spool, server, stop)


@contextlib.contextmanager
def _metrics(port: int) -> Iterator[None]:
    """Prometheus figures over HTTP while a process runs."""
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise StackError(f"port {port} for metrics cannot be had ({error}): is another stack running?") from None
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def _topics(options: argparse.Namespace) -> dict[str, Any]:
    from streaming import topics

    settings = stream_settings()
    found = {name: topics.ensure(settings, name) for name in (topics.EVENTS, topics.IMPRESSIONS)}
    return {
        name: {"partitions": len(topic.partitions), "incarnation": topic.incarnation} for name, topic in found.items()
    }


def _apply(options: argparse.Namespace) -> dict[str, Any]:
    from streaming.feature_repo import store

    config, zone, settings = _loaded(options)
    return store.apply(settings, config, zone, options.force)


def _materialize(options: argparse.Namespace) -> dict[str, Any]:
    from streaming.feature_repo import store

    config, zone, settings = _loaded(options)
    return store.materialize(settings, config, zone, options.force)


def _rebuild(options: argparse.Namespace) -> dict[str, Any]:
    from streaming import rebuild

    config, zone, settings = _loaded(options)
    with CONSOLE.status("rebuilding the online store") as status:
        return rebuild.command(settings, config, zone, options.force, lambda text: status.update(text))


def _buckets(options: argparse.Namespace) -> dict[str, Any]:
    from redis.exceptions import RedisError

    from streaming import buckets
    from streaming.online import OnlineStore

    config, _, settings = _loaded(options)
    as_of = int(time.time() * 1000) if options.as_of is None else options.as_of
    try:
        counts = OnlineStore(settings.redis_address, config.features).counts(as_of)
    except RedisError as error:
        raise StackError(f"the online store at {settings.redis} does not answer: {error}; is it up?") from error
    if options.out:
        buckets.write(counts, options.out)
    numbers = sorted({bucket.number for bucket in counts})
    figures = {"as_of": as_of, "buckets": len(numbers), "rows": len(counts), "interactions": counts.total()}
    return {**figures, "first": numbers[0] if numbers else None, "last": numbers[-1] if numbers else None}


def _schemas(options: argparse.Namespace) -> dict[str, Any]:
    from streaming import schemas

    written = None
    for subject in schemas.SUBJECTS:
        if options.check:
            schemas.check(subject=subject)
        else:
            written = schemas.write(subject=subject) or written
    versions = {f"{subject.record}s": schemas.versions(subject=subject) for subject in schemas.SUBJECTS}
    return {"versions": versions, "written": written.name if written else None}


def _loaded(options: argparse.Namespace) -> tuple[Config, Zones, StreamSettings]:
    config, settings = load(options.config), stream_settings()
    return config, zones(settings.root, config), settings


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m streaming", description="The stream.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Any, text: str, needs_config: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        if needs_config:
            command.add_argument("config", metavar="CONFIG", help="a file of configs/")
        return command

    seconds = {"type": float, "metavar": "SECONDS"}
    collector = add("collector", _collector, "Serve POST /v1/events.")
    collector.add_argument("--ack-seconds", default=2.0, **seconds, help="longest wait for the broker (default 2)")
    lake = add("lake", _lake, "Write events and impressions to the raw zone.")
    lake.add_argument("--flush-seconds", default=1.0, **seconds, help="longest time in memory (default 1)")
    add("processor", _processor, "Keep the online store's behaviour rows up to date.")
    add("impressions", _impressions, "Publish what servers say was shown.")
    add("topics", _topics, "Create the topic where it is missing, and say its incarnation.")
    forceable = (
        ("apply", _apply, "Register the feature views with Feast."),
        ("materialize", _materialize, "Write the batch view's rows to the online store."),
        ("rebuild", _rebuild, "Make the behaviour rows from the lake."),
    )
    for name, function, text in forceable:
        add(name, function, text).add_argument("--force", action="store_true", help="also where all is current")
    buckets = add("buckets", _buckets, "Say which counts by bucket are visible; --out writes them.")
    buckets.add_argument("--as-of", type=int, metavar="MS", help="the instant (default: now)")
    buckets.add_argument("--out", metavar="FILE", help="parquet to write: bucket, region, item_id, count")
    schemas = add(
        "schemas", _schemas, "Write a changed contract's Avro schema as the next version.", needs_config=False
    )
    schemas.add_argument("--check", action="store_true", help="write nothing: exit code 1 when a rule is broken")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
