"""The stack that drills break: own ports, its own copy of the smoke data, a slow road to Redis where one is wanted."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from rich.console import Console

from deploy import native, pipeline, readiness, remedies, stack
from deploy.parts import parts, redis_argv
from deploy.site import Site, open_site
from deploy.supervisor import Program, Supervisor
from tests.drills.slow_proxy import SlowProxy, slow_proxy
from tests.running import free_port_base

#: Behind the port of Redis stands a proxy; Redis itself listens here, counted from the base.
_REDIS_OFFSET = 39


@dataclasses.dataclass
class Stand:
    """A running stack, and the ways to harm it."""

    site: Site
    backend: str
    proxy: SlowProxy
    fault: Path

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.site.stack)

    def kill(self, program: str) -> None:
        """SIGKILL, as the system's out-of-memory killer does it."""
        os.kill(self.supervisor.processes()[program]["pid"], signal.SIGKILL)

    def kill_stub(self, server: str, model: str) -> None:
        """The same to the process of one python step."""
        (stub,) = remedies.stubs(self.site, server, model)
        stub.kill()

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Every process of the stack, by its part."""
        held = {}
        for name, info in self.supervisor.processes().items():
            if info["pid"]:
                process = psutil.Process(info["pid"])
                held[name] = [process, *process.children(recursive=True)]
        return held

    def pss_mib(self) -> float:
        """Memory of all processes, pages that several share counted once."""
        held = [process.memory_full_info().pss for family in self.processes().values() for process in family]
        return sum(held) / 2**20

    def is_whole(self) -> bool:
        """Every part runs, and every tritonserver passes Envoy's health check."""
        with contextlib.suppress(OSError, ValueError):
            running = all(info["statename"] == "RUNNING" for info in self.supervisor.processes().values())
            return running and readiness.envoy_serves(self.site.ports["envoy_admin"], self.site.ports["public"])
        return False


def prepare(config: str, console: Console) -> Site:
    """A copy of the promoted release and what goes with it; the stages make first what is not there, or not current."""
    honest = open_site(config)
    pipeline.run(honest, console)
    site = dataclasses.replace(honest, root=f"{honest.root}/drill-serving", port_base=free_port_base())
    shutil.rmtree(site.zones.root, ignore_errors=True)
    kept = shutil.ignore_patterns("stack", "raw", "mlflow", "logs", "profile")
    shutil.copytree(honest.zones.root, site.zones.root, ignore=kept)
    return site


def check_native(site: Site) -> None:
    """End in one line, before anything is drilled, where the C++ backend cannot serve the release."""
    if objection := native.objection(Path(site.zones.releases) / site.release()):
        sys.exit(
            f"error: the C++ backend does not serve: {objection}; drills of the python steps alone: only=python,stub"
        )


@contextlib.contextmanager
def stand(site: Site, backend: str) -> Iterator[Stand]:
    """The stack, up with ``native`` or ``python`` serving; taken down whatever happens."""
    fault = site.stack / "fault"
    fault.parent.mkdir(parents=True, exist_ok=True)
    fault.write_text("")
    os.environ |= {"TRIREME_FAULT": str(fault), "TRIREME_SERVE_BY": "python" if backend == "python" else "auto"}
    native.serves.cache_clear()
    hidden = site.port_base + _REDIS_OFFSET
    with slow_proxy(site.ports["redis"], hidden, site.stack) as proxy:
        try:
            stack.up(site, [_behind(part, site, hidden) if part.name == "redis" else part for part in parts(site)])
            yield Stand(site, backend, proxy, fault)
        finally:
            stack.down(site)


def _behind(part: stack.Part, site: Site, port: int) -> stack.Part:
    program = Program("redis", redis_argv(port, site.stack / "redis"), {})
    return dataclasses.replace(part, program=program, ports=())
