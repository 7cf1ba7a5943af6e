"""Command line of the stage: ``python -m ensemble COMMAND CONFIG [--force]``; the last line of stdout is JSON."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from contracts import openapi
from contracts.artifacts import zones
from contracts.config import load
from contracts.errors import TriremeError
from contracts.stack import stack_settings
from ensemble import answer, candidates, export, golden, golden_triton, gpu_repository, model_config, native, promote
from ensemble.model_config import REPOSITORY
from ensemble.steps.release import Release


def main(argv: list[str]) -> int:
    """Run one command; 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m ensemble", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in (("candidates", candidates), ("export", export), ("answer", answer), ("promote", promote)):
        command = commands.add_parser(name, help=module.__doc__)
        command.add_argument("config", help="a file of configs/")
        command.add_argument("--force", action="store_true", help="run even when nothing has changed")
        if module is export:
            command.add_argument("--fill", action="store_true", help="put the release's data into triton_repo/ too")
    configs = commands.add_parser("configs", help=model_config.__doc__)
    configs.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file is not what it should be"
    )
    replay = commands.add_parser("golden", help=golden.__doc__)
    replay.add_argument("release", help="the folder of a release")
    replay.add_argument("--grpc", metavar="HOST:PORT", help="ask this tritonserver instead of this process")
    replay.add_argument("--native", action="store_true", help="ask the C++ code instead of the python steps")
    repository = commands.add_parser("repository", help=gpu_repository.__doc__)
    repository.add_argument("release", help="the folder of a release")
    repository.add_argument("folder", type=Path, help="where to write; it must not be there yet")
    repository.add_argument("--target", choices=["gpu"], required=True, help="what the repository is for")
    repository.add_argument("--gpus", type=int, default=1, help="how many the server has (default: %(default)s)")
    repository.add_argument("--tensorrt", action="store_true", help="let TensorRT run what it can")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=Console(stderr=True))])
    started = time.monotonic()
    try:
        facts = _run(arguments)
    except TriremeError as error:
        print(f"ensemble {arguments.command}: {error}", file=sys.stderr)
        return 1
    facts = {"stage": "ensemble", "command": arguments.command, **facts}
    print(json.dumps({**facts, "total_seconds": round(time.monotonic() - started, 1)}))
    return 0


def _run(arguments: argparse.Namespace) -> dict[str, object]:
    if arguments.command == "configs":
        return _configs(arguments.check)
    if arguments.command == "golden":
        release = Release.open(arguments.release)
        release.verify()
        return {"release": release.id, "replayed": _replayed(release, arguments.grpc, arguments.native)}
    if arguments.command == "repository":
        release = Release.open(arguments.release)
        release.verify()
        return gpu_repository.write(release, arguments.folder, arguments.gpus, arguments.tensorrt)
    config = load(arguments.config)
    place = zones(stack_settings().root, config)
    if arguments.command == "promote":
        return promote.run(place)
    if arguments.command == "export":
        return export.run(config, place, arguments.force, REPOSITORY if arguments.fill else None)
    stage = {"candidates": candidates, "answer": answer}[arguments.command]
    return stage.run(config, place, arguments.force)


def _replayed(release: Release, address: str | None, natively: bool) -> int:
    """How many recorded requests were answered as recorded: by a server or in a process, by C++ or by Python."""
    if address:
        return golden_triton.replay(release, address)
    return native.replay(release) if natively else golden.replay(release)


def _configs(check_only: bool) -> dict[str, object]:
    """Write the configurations and the OpenAPI document, or refuse when a committed one has drifted."""
    document = openapi.file()
    if not check_only:
        document.write_text(openapi.text(), encoding="utf-8")
        return {"written": [*model_config.write(REPOSITORY), document.name]}
    drifted = model_config.check(REPOSITORY)
    if not document.is_file() or document.read_text(encoding="utf-8") != openapi.text():
        drifted.append(document.name)
    if drifted:
        names = ", ".join(drifted)
        raise TriremeError(f"{names}: not what the contracts say; run `python -m ensemble configs` and commit")
    return {"drifted": []}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
