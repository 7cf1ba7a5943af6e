"""Open MLflow's pages on the recorded runs of a data set."""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from typing import Any

from contracts.errors import ArtifactError, StackError
from train import commands


def arguments(parser: argparse.ArgumentParser) -> None:
    """The data set, and where to listen."""
    commands.config_argument(parser)
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1 (default: one that is free)")
    parser.add_argument("--program", required=True, help="MLflow's, of the environment that has its pages")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Become MLflow's server of the store; it ends with Ctrl-C.

    Raises:
        ArtifactError: when nothing was recorded, or a server keeps the runs.
        StackError: when the port is taken.
    """
    from train import tracking

    _, held = commands.opened(options)
    store = tracking.store(held)
    if not store.startswith("sqlite:"):
        raise ArtifactError(f"the runs are kept by {store or 'nobody (MLFLOW_TRACKING_URI is empty)'}: open that")
    if not Path(held.tracking, "mlflow.db").exists():
        raise ArtifactError(f"{held.tracking}: nothing is recorded yet; run `python -m train retrieval` first")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", options.port))
        except OSError:
            raise StackError(f"port {options.port} of 127.0.0.1 is taken; name another, or none") from None
        port = probe.getsockname()[1]
    commands.log.info("MLflow on http://127.0.0.1:%d (Ctrl-C ends it): %s", port, store)
    command = [options.program, "server", "--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(port)]
    os.execve(options.program, [*command, "--workers", "1"], os.environ | tracking.ENVIRONMENT)
