"""A server that ends, however it ends, leaves no process of a python step behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.tensors import ENSEMBLES
from deploy import tritonserver
from deploy.site import Site, open_site
from deploy.supervisor import Program, Supervisor
from deploy.watchdog import INTERVAL_SECONDS, Watch
from tests.deploy.echo import write_echo_repository
from tests.running import free_port_base

pytestmark = pytest.mark.integration

SERVER = "triton_a"
#: As it loads, the step holds Python's lock in native code: nothing else of Python runs in its process any more.
_CLASS = "class TritonPythonModel:\n"
_HOLD = "    def initialize(self, args):\n        __import__('ctypes').PyDLL(None).sleep(600)\n"
STUBS = len(ENSEMBLES)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("TRIREME_ROOT", str(tmp_path))
    monkeypatch.setenv("TRIREME_PORT_BASE", str(free_port_base()))
    made = open_site("configs/smoke.toml")
    yield made
    Supervisor(made.stack).shutdown()
    tritonserver.clear_shared_memory(made.ports[f"{SERVER}_http"])


def _start(site: Site) -> Supervisor:
    """A supervised tritonserver in the middle of loading steps, each with its stub."""
    repository = write_echo_repository(site.stack / "models")
    for step in repository.glob("*/1/model.py"):
        step.write_text(step.read_text().replace(_CLASS, _CLASS + _HOLD))
    ports = {kind: site.ports[f"{SERVER}_{kind}"] for kind in ("http", "grpc", "metrics")}
    launch = tritonserver.launch(repository, site.backends, **ports)
    supervisor = Supervisor(site.stack)
    supervisor.write([Program(SERVER, launch.argv, launch.env)])
    supervisor.start()
    supervisor.start_program(SERVER)
    _wait_for_stubs(site, supervisor)
    return supervisor


def _wait_for_stubs(site: Site, supervisor: Supervisor) -> list[psutil.Process]:
    end = time.monotonic() + 30
    while len(found := _stubs(site)) < STUBS:
        assert time.monotonic() < end, supervisor.log(SERVER).read_text()
        time.sleep(0.05)
    return found


def _stubs(site: Site) -> list[psutil.Process]:
    """Processes of python steps out of this site's folder, whoever their parent is."""
    python = str(site.backends.resolve() / "python")
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if any(part.startswith(python) for part in process.info["cmdline"] or ())]


def test_a_server_that_is_killed_or_stopped_while_it_loads_leaves_no_stub(site: Site) -> None:
    supervisor = _start(site)
    watch = Watch(site, SERVER, threading.Lock())
    watch.look()
    stubs = _stubs(site)
    assert len(stubs) == STUBS, "a server that lives keeps its stubs"
    os.kill(supervisor.processes()[SERVER]["pid"], signal.SIGKILL)
    end = time.monotonic() + 3
    while any(stub.is_running() for stub in stubs):
        assert time.monotonic() < end, stubs
        time.sleep(INTERVAL_SECONDS / 2)
        watch.look()
    _wait_for_stubs(site, supervisor)  # supervisord has started it again
    supervisor.shutdown()
    assert _stubs(site) == []
