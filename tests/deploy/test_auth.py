"""A door that asks who is there: Envoy alone, nobody behind, so that who gets in is told 503 and who does not, 401."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2

from contracts.door import DoorSettings
from contracts.errors import ClientError
from contracts.requests import Request
from deploy import ports
from deploy.envoy.config import write_config
from deploy.parts import envoy_argv
from deploy.readiness import http_get
from ensemble.client import Client
from tests.deploy.certificates import make_certificates
from tests.running import free_port_base, process, wait_until

pytestmark = pytest.mark.integration

TOKENS = ("first-0123456789abcdef0123456789abcdef", "second-0123456789abcdef0123456789abcd")
INFER = "/inference.GRPCInferenceService/ModelInfer"


@contextlib.contextmanager
def _envoy(folder: Path, door: DoorSettings) -> Iterator[dict[str, int]]:
    table = ports.ports(free_port_base())
    log = folder / "envoy.log"
    with process(envoy_argv(write_config(folder / "envoy", table, door)), log):
        wait_until(lambda: http_get(table["envoy_admin"], "/ready")[0] == 200, "envoy", log)
        yield table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def door(folder: Path) -> Iterator[dict[str, int]]:
    with _envoy(folder, DoorSettings(tokens=TOKENS)) as table:
        yield table


def _post(port: int, headers: dict[str, str], path: str = "/v1/recommendations") -> tuple[int, dict]:
    connection = http.client.HTTPConnection(ports.HOST, port, timeout=5)
    try:
        connection.request("POST", path, b"{}", headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _call(channel: grpc.Channel, *metadata: tuple[str, str]) -> tuple[str, str]:
    message = service_pb2.ModelInferRequest(model_name="recommendations").SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(INFER)(message, timeout=5, metadata=metadata)
    return caught.value.code().name, caught.value.details()


def _client_status(port: int, tls: ssl.SSLContext) -> int:
    with Client(f"https://{ports.HOST}:{port}", tries=1, tls=tls) as client, pytest.raises(ClientError) as caught:
        client.recommend(Request("u"))
    return caught.value.status


@pytest.mark.parametrize("token", TOKENS)
def test_whoever_shows_a_token_gets_in(door: dict[str, int], token: str) -> None:
    assert _post(door["public"], {"Authorization": f"Bearer {token}"})[0] == 503
    with grpc.insecure_channel(f"{ports.HOST}:{door['public']}") as channel:
        assert _call(channel, ("authorization", f"Bearer {token}"))[0] == "UNAVAILABLE"


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer ", "Bearer wrong", f"Bearer {TOKENS[0]}x", f"Bearer {TOKENS[0][:-1]}", f"Basic {TOKENS[0]}",
     f"Bearer {TOKENS[0].upper()}", f"Bearer {TOKENS[0]},{TOKENS[1]}"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/events", "/v2", "/nothing"])
def test_whoever_shows_none_that_is_known_is_401_with_a_reason(
    door: dict[str, int], shown: str | None, path: str
) -> None:
    status, answer = _post(door["public"], {} if shown is None else {"Authorization": shown}, path)
    assert status == 401
    assert answer == {"error": "expected a token that is known here, as in Authorization: Bearer TOKEN"}


def test_by_grpc_it_is_unauthenticated(door: dict[str, int]) -> None:
    with grpc.insecure_channel(f"{ports.HOST}:{door['public']}") as channel:
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            assert _call(channel, *metadata) == ("UNAUTHENTICATED", "Client authentication failed.")


def test_health_is_open(door: dict[str, int]) -> None:
    status, body = http_get(door["public"], "/healthz")
    # Nobody stands behind this door, so it is not well; but it says so without a token.
    assert (status, b"token" in body) == (503, False)


def test_tokens_are_in_no_log_on_no_admin_page_and_in_no_file_that_others_may_read(
    door: dict[str, int], folder: Path
) -> None:
    _post(door["public"], {"Authorization": f"Bearer {TOKENS[0]}"})
    assert TOKENS[0].encode() not in http_get(door["envoy_admin"], "/config_dump")[1]
    assert b"api_key_auth" in http_get(door["envoy_admin"], "/config_dump")[1]
    for path in folder.rglob("*"):
        if path.is_file() and any(token.encode() in path.read_bytes() for token in TOKENS):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert all(token not in (folder / "envoy.log").read_text() for token in TOKENS)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
def test_with_an_authority_for_clients_only_who_has_its_certificate_gets_in(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    pem = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "server", "client", "stranger")}
    settings = DoorSettings(tls_cert=pem["server"], tls_key=str(tmp_path / "server.key"), client_ca=pem["ca"])

    def ask(port: int, who: str) -> int:
        context = ssl.create_default_context(cafile=pem["ca"])
        if who:
            context.load_cert_chain(pem[who], tmp_path / f"{who}.key")
        connection = http.client.HTTPSConnection(ports.HOST, port, timeout=5, context=context)
        try:
            connection.request("POST", "/v1/recommendations", b"{}")
            return connection.getresponse().status
        finally:
            connection.close()

    with _envoy(tmp_path, settings) as table:
        assert ask(table["public"], "client") == 503
        for who in ("", "stranger"):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                ask(table["public"], who)
        context = ssl.create_default_context(cafile=pem["ca"])
        assert _client_status(table["public"], context) == 0
        context.load_cert_chain(pem["client"], tmp_path / "client.key")
        assert _client_status(table["public"], context) == 503
        files = [(tmp_path / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")]
        shown = grpc.ssl_channel_credentials(*files)
        with grpc.secure_channel(f"{ports.HOST}:{table['public']}", shown) as channel:
            assert _call(channel)[0] == "UNAVAILABLE"
