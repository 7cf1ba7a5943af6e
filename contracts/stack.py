"""What the environment says: where files lie, and where the parts of one stack listen."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from contracts.errors import ConfigError

#: Part of the local stack -> offset of its port from the base. Only ``public`` is meant for clients.
PORT_OFFSETS: Mapping[str, int] = {
    "public": 0,
    "envoy_admin": 1,
    "redis": 2,
    "kafka": 3,
    "collector": 10,
    "lake_metrics": 11,
    "processor_metrics": 12,
    "impressions_metrics": 13,
    "triton_a_http": 20,
    "triton_a_grpc": 21,
    "triton_a_metrics": 22,
    "triton_b_http": 24,
    "triton_b_grpc": 25,
    "triton_b_metrics": 26,
    "watchdog_metrics": 30,
    "prometheus": 31,
}


#: Linux' bound on the path of a Unix socket, bytes.
MAX_SOCKET_PATH = 107


@dataclasses.dataclass(frozen=True)
class StackSettings:
    """What the environment says: where files lie, and where the parts listen (``host:port``)."""

    root: str
    port_base: int
    redis: str
    kafka: str
    partitions: int  # of the topic of events
    dask_scheduler: str = ""  # address; empty: a cluster of this machine
    variant: str = ""  # arm of the experiment, as answers name it
    schema_registry: str = ""  # URL; empty: the committed files of contracts/schemas
    impressions: str = ""  # path of the socket that servers send impressions to; empty: none are logged
    impressions_kept: int = 0  # records that make their topic full, of a broker without retention; 0: never full
    mlflow: str = ""  # URL of the tracking store; empty: sqlite below the data set's root
    serve_by: str = "auto"  # "python": by the python steps, even where the C++ backend was built
    fault: str = ""  # a file that says what shall go wrong, in drills; empty: nothing

    def port(self, part: str) -> int:
        """The port of a part of ``PORT_OFFSETS``."""
        return self.port_base + PORT_OFFSETS[part]


def stack_settings(environ: Mapping[str, str] = os.environ) -> StackSettings:
    """``TRIREME_ROOT`` (default ``var``), ``TRIREME_PORT_BASE`` (20000) and where others than the local stack's serve.

    These are ``TRIREME_REDIS`` and ``TRIREME_KAFKA`` (``host:port``), ``TRIREME_DASK_SCHEDULER`` (its address),
    ``TRIREME_SCHEMA_REGISTRY`` (its URL), ``TRIREME_PARTITIONS`` (4), ``TRIREME_VARIANT`` (none),
    ``TRIREME_IMPRESSIONS`` (a socket's path; none), ``TRIREME_IMPRESSIONS_KEPT`` (0), ``TRIREME_SERVE_BY`` (auto); by
    the name that MLflow gives it, ``MLFLOW_TRACKING_URI``; and for drills ``TRIREME_FAULT``, a file
    (``ensemble/faults.py``). A ``ConfigError`` names every variable that is wrong.
    """
    problems: list[str] = []
    base = _whole(environ, "TRIREME_PORT_BASE", 20_000, "a port", (1024, 65_000), problems)
    partitions = _whole(environ, "TRIREME_PARTITIONS", 4, "an integer", (1, 1024), problems)
    kept = _whole(environ, "TRIREME_IMPRESSIONS_KEPT", 0, "a number of records", (0, 10**9), problems)
    addresses: dict[str, str] = {}
    for part in ("redis", "kafka"):
        variable = f"TRIREME_{part.upper()}"
        addresses[part] = environ.get(variable) or f"127.0.0.1:{base + PORT_OFFSETS[part]}"
        host, _, port = addresses[part].rpartition(":")
        if not host or not port.isdecimal():
            problems.append(f"{variable}: expected host:port, got {addresses[part]!r}")
    registry = environ.get("TRIREME_SCHEMA_REGISTRY", "")
    if registry and not _is_http(registry):
        problems.append("TRIREME_SCHEMA_REGISTRY: expected a URL such as http://host:8081, got something else")
    if len(environ.get("TRIREME_IMPRESSIONS", "").encode()) > MAX_SOCKET_PATH:
        problems.append(f"TRIREME_IMPRESSIONS: expected the path of a socket, of at most {MAX_SOCKET_PATH} bytes")
    serve_by = environ.get("TRIREME_SERVE_BY") or "auto"
    if serve_by not in ("auto", "python"):
        problems.append(f"TRIREME_SERVE_BY: expected auto or python, got {serve_by!r}")
    if problems:
        raise ConfigError("environment", problems)
    return StackSettings(
        root=environ.get("TRIREME_ROOT") or "var",
        port_base=base,
        redis=addresses["redis"],
        kafka=addresses["kafka"],
        partitions=partitions,
        dask_scheduler=environ.get("TRIREME_DASK_SCHEDULER", ""),
        variant=environ.get("TRIREME_VARIANT", ""),
        schema_registry=registry,
        impressions=environ.get("TRIREME_IMPRESSIONS", ""),
        impressions_kept=kept,
        mlflow=environ.get("MLFLOW_TRACKING_URI", ""),
        serve_by=serve_by,
        fault=environ.get("TRIREME_FAULT", ""),
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def data_folder(environ: Mapping[str, str] = os.environ) -> str:
    """``TRIREME_DATA`` (default ``data``): the folder or URL below which ``data:PATH`` of a configuration lies."""
    return environ.get("TRIREME_DATA") or "data"


def _whole(
    environ: Mapping[str, str], name: str, default: int, kind: str, bounds: tuple[int, int], problems: list[str]
) -> int:
    text = environ.get(name, str(default))
    if text.isdecimal() and bounds[0] <= int(text) <= bounds[1]:
        return int(text)
    problems.append(f"{name}: expected {kind} from {bounds[0]} to {bounds[1]}, got {text!r}")
    return default
