"""Up, down and status of the local stack."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.table import Table

from contracts.errors import StackError
from contracts.stack import PORT_OFFSETS
from deploy import monitoring, tritonserver
from deploy.parts import Part, parts
from deploy.ports import TRITONS, address, check_free
from deploy.readiness import log_tail, wait_ready
from deploy.site import Site
from deploy.supervisor import RUNNING, Supervisor

log = logging.getLogger(__name__)

#: The commands of ``streaming`` that make the stores ready, between the start of the stores and that of the streams
#: (``materialize`` applies Feast's definitions itself where that is due).
PREPARATIONS = ("materialize", "rebuild")
_STORES = ("redis", "broker")
_STREAMS = ("collector", "lake", "processor", "impressions")


@dataclasses.dataclass(frozen=True)
class PartStatus:
    """One line of ``status``; ``state`` is supervisord's, ``STOPPED`` when it is not running at all."""

    name: str
    state: str
    ports: tuple[int, ...]
    pid: int | None
    since: datetime.datetime | None

    def to_json(self) -> dict[str, Any]:
        """For the last line of ``status``."""
        return {**dataclasses.asdict(self), "since": self.since.isoformat() if self.since else None}


def up(site: Site, wanted: Sequence[Part] | None = None) -> None:
    """Start what is not running yet, in order, each part waited for; what was changed since is restarted.

    Args:
        site: where.
        wanted: other parts of the same names than the site's own.

    Raises:
        StackError: naming the part; what this call started is stopped again.
    """
    wanted = wanted or parts(site)
    supervisor = Supervisor(site.stack)
    was_running = supervisor.is_running()
    held = _running(supervisor) if was_running else set()
    check_free({port: site.ports[port] for part in wanted if part.name not in held for port in part.ports})
    supervisor.write([part.program for part in wanted])
    monitoring.write_prometheus(site)
    try:
        if was_running:
            for name in supervisor.reload():
                log.info("%s: changed, is started again", name)
        else:
            _clear_away(site)
            supervisor.start()
        _start_in_order(site, supervisor, {part.name: part for part in wanted})
    except BaseException:
        if not was_running:
            supervisor.shutdown()
            _clear_away(site)
        raise


def down(site: Site) -> bool:
    """Stop all that ``up`` started, and only that; whether anything ran."""
    supervisor = Supervisor(site.stack)
    if not supervisor.is_running():
        return False
    supervisor.shutdown()
    _clear_away(site)
    return True


def status(site: Site) -> tuple[PartStatus, ...]:
    """Every part that there should be, running or not."""
    supervisor = Supervisor(site.stack)
    processes = supervisor.processes() if supervisor.is_running() else {}
    lines = []
    for name, ports in _port_names().items():
        info = processes.get(name)
        runs = info is not None and info["statename"] in RUNNING
        lines.append(
            PartStatus(
                name,
                info["statename"] if info else "STOPPED",
                tuple(site.ports[port] for port in ports),
                info["pid"] if info and runs else None,
                datetime.datetime.fromtimestamp(info["start"]).astimezone() if info and runs else None,
            )
        )
    return tuple(lines)


def table(lines: Sequence[PartStatus]) -> Table:
    """What a person sees of ``status``."""
    shown = Table()
    for heading in ("part", "state", "ports", "pid", "since", "up"):
        shown.add_column(heading, no_wrap=heading == "since")
    now = datetime.datetime.now().astimezone()
    for line in lines:
        since = line.since.strftime("%Y-%m-%d %H:%M:%S") if line.since else ""
        uptime = str(now - line.since).split(".")[0] if line.since else ""
        ports = ", ".join(str(port) for port in line.ports)
        shown.add_row(line.name, line.state, ports, str(line.pid or ""), since, uptime)
    return shown


def _start_in_order(site: Site, supervisor: Supervisor, wanted: dict[str, Part]) -> None:
    """Stores, what fills them, then who reads them; tritonservers load their models meanwhile."""
    tritons = [name for name in wanted if name.startswith("triton")]
    started = _start(supervisor, (*_STORES, *tritons))
    _wait(supervisor, [wanted[name] for name in _STORES])
    # A part that was started again may have forgotten; the commands themselves skip what is done.
    for command in PREPARATIONS:
        _execute(site, supervisor, f"streaming-{command}", "streaming", command, str(site.config_path))
    started += _start(supervisor, _STREAMS)
    _wait(supervisor, [wanted[name] for name in (*_STREAMS, *tritons)])
    _replay_golden(site, supervisor, [name for name in tritons if name in started])
    # The watchdog last: it would take servers that start for servers that ail.
    for name in ("envoy", "watchdog"):
        started += _start(supervisor, (name,))
        _wait(supervisor, [wanted[name]])
    log.info("stack: %s", f"{len(started)} part(s) started" if started else "everything runs already")


def _replay_golden(site: Site, supervisor: Supervisor, tritons: Sequence[str]) -> None:
    """A server that answers otherwise than its release was judged by must not be asked by anybody."""
    release = f"{site.zones.releases}/{site.release()}"

    def replay(name: str) -> None:
        server = address(site.ports[f"{name}_grpc"])
        _execute(site, supervisor, f"golden-{name}", "ensemble", "golden", release, "--grpc", server)

    with ThreadPoolExecutor() as pool:
        list(pool.map(replay, tritons))


def _start(supervisor: Supervisor, names: Iterable[str]) -> list[str]:
    return [name for name in names if supervisor.start_program(name)]


def _wait(supervisor: Supervisor, waited: Iterable[Part]) -> None:
    for part in waited:

        def is_alive(name: str = part.name) -> bool:
            return supervisor.processes()[name]["statename"] in RUNNING

        wait_ready(part.name, part.ready, part.timeout_seconds, supervisor.log(part.name), is_alive)
        log.info("%s: ready on %s", part.name, ", ".join(part.ports))


def _clear_away(site: Site) -> None:
    """What servers that were killed left behind, while none runs."""
    tritonserver.end_orphans(site.backends)
    for name in TRITONS:
        tritonserver.clear_shared_memory(site.ports[f"{name}_http"])


def _execute(site: Site, supervisor: Supervisor, name: str, *command: str) -> None:
    """Run ``python -m <command>`` to its end; what it says goes to the log of that name."""
    output = supervisor.log(name)
    env = {**os.environ, **site.environment()}
    with output.open("wb") as file:
        argv = [sys.executable, "-m", *command]
        code = subprocess.run(argv, env=env, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    if code != 0:
        raise StackError(f"{name} failed with exit code {code}; the end of {output}:\n{log_tail(output)}")
    log.info("%s: done", name)


def _running(supervisor: Supervisor) -> set[str]:
    return {name for name, info in supervisor.processes().items() if info["statename"] in RUNNING}


def _port_names() -> dict[str, tuple[str, ...]]:
    """Part -> names of its ports, known without a release: ``status`` works before the first pipeline."""
    tritons = {name: tuple(port for port in PORT_OFFSETS if port.startswith(name)) for name in TRITONS}
    return {
        "redis": ("redis",),
        "broker": ("kafka",),
        "collector": ("collector",),
        "lake": ("lake_metrics",),
        "processor": ("processor_metrics",),
        "impressions": ("impressions_metrics",),
        **tritons,
        "envoy": ("public", "envoy_admin"),
        "watchdog": ("watchdog_metrics",),
    }
