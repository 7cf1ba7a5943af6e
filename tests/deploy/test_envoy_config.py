"""Envoy's files: accepted by Envoy itself, and a server is taken out and put back without a restart."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
import yaml

from deploy.envoy.config import write_config, write_endpoints
from deploy.parts import envoy_argv
from deploy.ports import HOST, ports
from deploy.readiness import http_get
from tests.deploy.conftest import ask

pytestmark = pytest.mark.integration


def test_envoy_accepts_what_is_generated(tmp_path):
    bootstrap = write_config(tmp_path, ports(20000))
    done = subprocess.run([*envoy_argv(bootstrap), "--mode", "validate"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_listening_address_is_loopback(tmp_path):
    document = yaml.safe_load(write_config(tmp_path, ports(20000)).read_text())
    addresses = [document["admin"]["address"], *(x["address"] for x in document["static_resources"]["listeners"])]
    assert {address["socket_address"]["address"] for address in addresses} == {HOST}


def test_a_server_that_is_taken_out_gets_no_more_requests_and_comes_back(edge, edge_folder):
    folder = edge_folder / "envoy"
    try:
        write_endpoints(folder, edge, ("triton_a",))
        _wait_for_hosts(edge, [edge["triton_a_http"]])
        assert [ask(edge["public"], {"user_id": "u"})[0] for _ in range(10)] == [200] * 10
    finally:
        write_endpoints(folder, edge, ("triton_a", "triton_b"))
    _wait_for_hosts(edge, [edge["triton_a_http"], edge["triton_b_http"]])


def _wait_for_hosts(edge, expected: list[int]) -> None:
    end = time.monotonic() + 10
    seen = []
    while seen != expected:
        assert time.monotonic() < end, f"expected {expected}, Envoy has {seen}"
        time.sleep(0.05)
        clusters = json.loads(http_get(edge["envoy_admin"], "/clusters?format=json")[1])["cluster_statuses"]
        (pool,) = (cluster for cluster in clusters if cluster["name"] == "triton_http")
        seen = sorted(host["address"]["socket_address"]["port_value"] for host in pool.get("host_statuses", []))
