"""What the watchdog does to a server: one step's process replaced, or the whole server, taken out of Envoy first."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from contracts.errors import StackError
from deploy import tritonserver
from deploy.envoy.config import write_endpoints
from deploy.ports import TRITONS, address
from deploy.readiness import http_ok, wait_ready
from deploy.site import Site
from deploy.supervisor import RUNNING, Supervisor

log = logging.getLogger(__name__)

_STUB = "triton_python_backend_stub"
#: Seconds from Envoy's reading of its endpoints until what is under way is answered, or given up by Envoy.
_DRAIN_SECONDS = 2.5
_LOAD_SECONDS = 60.0
#: A process whose step was loaded anew answers what it has begun, and ends.
_LEAVE_SECONDS = 5.0


def replace_stub(site: Site, server: str, model: str) -> None:
    """Let a server load a python step anew, in a process beside the old one, which ends when it is done, or is ended.

    A step that hangs goes on answering, degraded, until the new one takes over.

    Raises:
        StackError: when the server does not load it.
    """
    old = stubs(site, server, model)
    try:
        _load(address(site.ports[f"{server}_grpc"]), model)
    finally:
        end = time.monotonic() + _LEAVE_SECONDS
        while (alive := [stub for stub in old if _lives(stub)]) and time.monotonic() < end:
            time.sleep(0.05)
        for stub in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                stub.kill()
                log.warning("%s: the old stub of %s (pid %d) was killed", server, model, stub.pid)


def restart(site: Site, server: str) -> None:
    """Take a server out of Envoy, end it, start it again, and put it back when it answers.

    Raises:
        StackError: when it does not start.
    """
    supervisor = Supervisor(site.stack)
    with _out_of_envoy(site, server):
        time.sleep(_DRAIN_SECONDS)
        supervisor.stop_program(server)
        tritonserver.clear_shared_memory(site.ports[f"{server}_http"])
        supervisor.start_program(server)
        port = site.ports[f"{server}_http"]

        def lives() -> bool:
            return supervisor.processes()[server]["statename"] in RUNNING

        wait_ready(server, lambda: http_ok(port, "/v2/health/ready"), _LOAD_SECONDS, supervisor.log(server), lives)


@contextlib.contextmanager
def _out_of_envoy(site: Site, server: str) -> Iterator[None]:
    folder = site.stack / "envoy"
    rest = tuple(name for name in TRITONS if name != server)
    write_endpoints(folder, site.ports, rest)
    try:
        yield
    finally:
        write_endpoints(folder, site.ports, TRITONS)


def stubs(site: Site, server: str, model: str) -> list[psutil.Process]:
    """The living processes of a step: children of the server whose command names the step's folder."""
    pid = Supervisor(site.stack).processes()[server]["pid"]
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie has no command any more
                command = child.cmdline()
                if command and Path(command[0]).name == _STUB and any(f"/{model}/" in part for part in command):
                    found.append(child)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _load(server: str, model: str) -> None:
    """By gRPC: over HTTP a load blocks one of the few threads that answer.

    Triton skips the load of a model whose files are as they were. Handing it the model's own configuration with one
    more parameter makes it load.
    """
    import tritonclient.grpc as triton  # here: it is large, and a healthy stack never needs it

    with triton.InferenceServerClient(server) as client:
        try:
            config: Any = client.get_model_config(model, as_json=True, client_timeout=_LOAD_SECONDS)
            document = config["config"]
            document.setdefault("parameters", {})["loaded_at"] = {"string_value": str(time.time())}
            client.load_model(model, config=json.dumps(document), client_timeout=_LOAD_SECONDS)
        except triton.InferenceServerException as error:
            raise StackError(f"{server} does not load {model}: {error}") from None
