"""The edge over echo models: two real tritonservers, a stand-in for the collector, and the real Envoy."""

from __future__ import annotations

import http.client
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy import ports, tritonserver
from deploy.envoy.config import write_config
from deploy.parts import envoy_argv
from deploy.readiness import envoy_serves
from tests.deploy.echo import write_echo_repository
from tests.running import free_port_base, process, wait_until


class _Collector(http.server.BaseHTTPRequestHandler):
    """Accepts everything: what is tested is the door, not the collector."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(202)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def edge_processes() -> dict[str, subprocess.Popen]:
    """The processes of ``edge`` by name, for the tests that end one."""
    return {}


@pytest.fixture(scope="session")
def edge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="session")
def edge(edge_folder: Path, edge_processes: dict[str, subprocess.Popen]) -> Iterator[dict[str, int]]:
    """Ports of an edge that answers."""
    folder = edge_folder
    repository = write_echo_repository(folder / "models")
    table = ports.ports(free_port_base())
    with ExitStack() as stack:
        collector = http.server.ThreadingHTTPServer((ports.HOST, table["collector"]), _Collector)
        collector.daemon_threads = True
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        stack.callback(collector.server_close)
        stack.callback(collector.shutdown)
        for server in ("triton_a", "triton_b"):
            launch = tritonserver.launch(
                repository,
                folder / "backends",
                http=table[f"{server}_http"],
                grpc=table[f"{server}_grpc"],
                metrics=table[f"{server}_metrics"],
            )
            stack.callback(tritonserver.clear_shared_memory, table[f"{server}_http"])
            started = process(launch.argv, folder / f"{server}.log", launch.full_env())
            edge_processes[server] = stack.enter_context(started)
        log = folder / "envoy.log"
        stack.enter_context(process(envoy_argv(write_config(folder / "envoy", table)), log))
        wait_until(lambda: envoy_serves(table["envoy_admin"], table["public"]), "the edge", log)
        yield table


def get_status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def post(port: int, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower case) and body of a POST."""
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=10)
    try:
        connection.request("POST", path, body, {"content-type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ask(port: int, document: object, **headers: str) -> tuple[int, dict[str, str], dict]:
    status, answered, body = post(port, "/v1/recommendations", json.dumps(document).encode(), headers)
    return status, answered, json.loads(body)
