"""Our own commands at a door that asks who they are: a real Envoy with a token, and one with certificates.

Behind it stand the servers of the open edge. ``make learn``, the story that it ends with, ``loadtest latency`` and the
readiness of Envoy take address, token and certificates from the environment alone.
"""

from __future__ import annotations

import io
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from contracts.config import load
from contracts.door import door_settings
from contracts.errors import StackError
from contracts.stack import stack_settings
from deploy import story
from deploy.client import Client
from deploy.envoy.config import write_config
from deploy.parts import envoy_argv
from deploy.readiness import envoy_serves
from deploy.site import Site, open_site
from loadtest import latency
from tests.deploy.certificates import make_certificates
from tests.running import free_port_base, process, wait_until

pytestmark = pytest.mark.integration

CONFIG = "configs/smoke.toml"
TOKEN = "a-token-0123456789abcdef0123456789abcdef"
#: What the certificate names: no address, and nothing that a resolver knows.
NAME = "shop.invalid"


def _token(folder: Path) -> dict[str, str]:
    path = folder / "tokens"
    path.touch(0o600)
    path.write_text(f"{TOKEN}\n")
    return {"TRIREME_TOKENS_FILE": str(path)}


def _certificates(folder: Path) -> dict[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    make_certificates(folder, f"DNS:{NAME}")
    names = {"TLS_CERT": "server.pem", "TLS_KEY": "server.key", "CLIENT_CA": "ca.pem"}
    names |= {"CLIENT_CERT": "client.pem", "CLIENT_KEY": "client.key"}
    return {f"TRIREME_{name}": str(folder / file) for name, file in names.items()} | {"TRIREME_PUBLIC_HOST": NAME}


@pytest.fixture(params=[_token, _certificates], ids=["token", "certificates"])
def site(
    request: pytest.FixtureRequest, edge: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Its public port is that of a guarded Envoy."""
    base = free_port_base()
    environ = {"TRIREME_ROOT": str(tmp_path), "TRIREME_PORT_BASE": str(base), **request.param(tmp_path)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    made, door, log = open_site(CONFIG), door_settings(), tmp_path / "envoy.log"
    table = {**edge, "public": made.ports["public"], "envoy_admin": made.ports["envoy_admin"]}
    with process(envoy_argv(write_config(tmp_path / "envoy", table, door)), log):
        wait_until(lambda: envoy_serves(table["envoy_admin"], table["public"], door), "envoy", log)
        yield made


def test_learn_and_its_story_ask_as_anybody_would(site: Site) -> None:
    with Client(site.ports["public"]) as client:
        assert client.recommend("u1")["user_id"] == "u1"
        client.send({"event_id": "e1"})
    told = io.StringIO()
    story.ask_both_ways(Console(file=told, width=400), site, "u1")
    assert '"user_id": "u1"' in told.getvalue(), "by REST"
    assert "item-1  1.0000" in told.getvalue(), "by gRPC"
    assert TOKEN not in told.getvalue()


def test_loadtest_asks_as_well(site: Site) -> None:
    Path(site.zones.features).mkdir(parents=True)
    pq.write_table(pa.table({"user_id": ["u1", "u2"]}), f"{site.zones.features}/user_profile.parquet")
    figures = latency.measure(load(CONFIG), stack_settings(), count=3)
    assert figures["requests"] == 3
    assert figures["rest_p50_ms"] > 0
    assert figures["grpc_p50_ms"] > 0


def test_without_what_the_door_asks_for_a_command_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRIREME_TOKENS_FILE", "TRIREME_CLIENT_CERT", "TRIREME_CLIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with Client(site.ports["public"]) as client, pytest.raises(StackError, match=r"got 401|got no answer"):
        client.recommend("u1")


@pytest.mark.parametrize("site", [_certificates], indirect=True, ids=["certificates"])
@pytest.mark.parametrize(("variable", "value"), [("PUBLIC_HOST", "other.invalid"), ("TLS_CERT", "stranger.pem")])
def test_a_door_with_another_name_or_certificate_is_told_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"TRIREME_{variable}", str(tmp_path / value) if variable == "TLS_CERT" else value)
    connection = door_settings().connect(site.ports["public"], 5)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/healthz")
    connection.close()
