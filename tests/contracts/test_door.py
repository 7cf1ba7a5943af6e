"""Who may come in is said by the environment, checked as a whole, and never repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.door import DoorSettings, door_settings
from contracts.errors import ConfigError

TOKEN = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "x.pem"
    path.write_text("pem")
    return str(path)


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        door_settings(environ)
    return str(caught.value)


def test_by_default_the_door_is_on_loopback_and_nothing_need_be_shown() -> None:
    assert door_settings({}) == DoorSettings("127.0.0.1", (), "", "", "")
    assert door_settings({}).headers() == {}


@pytest.mark.parametrize("bind", ["0.0.0.0", "10.1.2.3", "::", "192.0.2.7"])
def test_a_public_address_without_anything_to_show_is_refused_unless_it_is_meant(bind: str, pem: str) -> None:
    said = refusal(TRIREME_BIND=bind)
    assert f"TRIREME_BIND={bind}: expected TRIREME_TOKENS" in said
    assert "TRIREME_INSECURE=1" in said
    # A certificate of the server alone says who answers, not who asks.
    assert "TRIREME_INSECURE=1" in refusal(TRIREME_BIND=bind, TRIREME_TLS_CERT=pem, TRIREME_TLS_KEY=pem)
    for enough in (
        {"TRIREME_INSECURE": "1"},
        {"TRIREME_TOKENS": TOKEN},
        {"TRIREME_TLS_CERT": pem, "TRIREME_TLS_KEY": pem, "TRIREME_CLIENT_CA": pem},
    ):
        assert door_settings({"TRIREME_BIND": bind, **enough}).bind == bind


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.9.9.9", "::1"])
def test_every_loopback_address_may_be_open(bind: str) -> None:
    assert door_settings({"TRIREME_BIND": bind}).host == bind


@pytest.mark.parametrize(("bind", "host"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3")])
def test_our_own_commands_know_where_to_knock(bind: str, host: str) -> None:
    assert door_settings({"TRIREME_BIND": bind, "TRIREME_INSECURE": "1"}).host == host


def test_clients_are_told_the_name_of_the_door_and_commands_go_to_its_address(pem: str) -> None:
    assert door_settings({"TRIREME_BIND": "::1"}).url(20000) == "http://[::1]:20000"
    door = door_settings({"TRIREME_TLS_CERT": pem, "TRIREME_TLS_KEY": pem, "TRIREME_PUBLIC_HOST": "shop.example"})
    assert (door.url(443), door.address(443)) == ("https://shop.example:443", "127.0.0.1:443")


def test_whoever_must_show_a_certificate_and_has_none_may_not_ask(pem: str) -> None:
    tls = {"TRIREME_TLS_CERT": pem, "TRIREME_TLS_KEY": pem}
    guarded = {**tls, "TRIREME_CLIENT_CA": pem}
    assert door_settings({}).may_ask and door_settings(tls).may_ask
    assert not door_settings(guarded).may_ask
    assert door_settings({**guarded, "TRIREME_CLIENT_CERT": pem, "TRIREME_CLIENT_KEY": pem}).may_ask


def test_tokens_come_from_the_environment_or_a_file_of_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n\n {OTHER} \n{TOKEN}\n")
    path.chmod(0o600)
    assert door_settings({"TRIREME_TOKENS_FILE": str(path)}).tokens == (TOKEN, OTHER)
    found = door_settings({"TRIREME_TOKENS": f"{TOKEN},{OTHER}"})
    assert found.tokens == (TOKEN, OTHER)
    assert found.headers() == {"authorization": f"Bearer {TOKEN}"}
    assert TOKEN not in repr(found)
    path.chmod(0o640)
    assert "chmod 600" in refusal(TRIREME_TOKENS_FILE=str(path))
    path.write_text("\n")
    assert "expected a token a line, got none" in refusal(TRIREME_TOKENS_FILE=str(path))


@pytest.mark.parametrize("token", ["short", "x" * 257, "ä" * 40, "with blanks in it, and long enough for one"])
def test_a_token_that_is_none_is_named_by_its_number_and_not_shown(token: str) -> None:
    said = refusal(TRIREME_TOKENS=f"{TOKEN},{token}")
    assert "TRIREME_TOKENS: token 2: expected 32 to 256 visible ASCII characters" in said
    assert token not in said and TOKEN not in said


def test_all_that_is_wrong_is_said_at_once(pem: str, tmp_path: Path) -> None:
    said = refusal(
        TRIREME_BIND="localhost",
        TRIREME_TOKENS=TOKEN,
        TRIREME_TOKENS_FILE="x",
        TRIREME_TLS_CERT=pem,
        TRIREME_CLIENT_CA=str(tmp_path / "gone"),
        TRIREME_INSECURE="yes",
    )
    for part in (
        "TRIREME_BIND: expected an IP address",
        "expected one of them",
        "TRIREME_TLS_CERT and TRIREME_TLS_KEY: expected both or none",
        "TRIREME_CLIENT_CA: expected a file that can be read",
        "TRIREME_INSECURE: expected 1 or nothing",
    ):
        assert part in said
    assert "TRIREME_CLIENT_CA: expected TRIREME_TLS_CERT" in refusal(TRIREME_CLIENT_CA=pem)
    said = refusal(TRIREME_CLIENT_CERT=pem)
    assert "TRIREME_CLIENT_CERT and TRIREME_CLIENT_KEY: expected both or none" in said
    assert "TRIREME_CLIENT_CERT: expected TRIREME_TLS_CERT" in said
