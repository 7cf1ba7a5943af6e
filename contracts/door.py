"""Who may come in: the address of the public port, and what a client must show there.

On the loopback interface nothing need be shown. A public address without tokens and without client certificates is
refused, unless the environment says that this is meant.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import ConfigError

#: Variables that no process but Envoy's configuration may see.
SECRETS = ("TRIREME_TOKENS",)
#: 128 bits as hexadecimal digits.
MIN_TOKEN_CHARS = 32
MAX_TOKEN_CHARS = 256


@dataclasses.dataclass(frozen=True)
class DoorSettings:
    """The public port: ``bind`` is its IP address, the paths of PEM files are "" where there is no TLS."""

    bind: str = "127.0.0.1"
    tokens: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""

    @property
    def host(self) -> str:
        """The address by which a process of this machine reaches the door."""
        address = ipaddress.ip_address(self.bind)
        return ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else self.bind

    def headers(self) -> dict[str, str]:
        """What a client of ours sends along."""
        return {"authorization": f"Bearer {self.tokens[0]}"} if self.tokens else {}


#: The loopback interface, and nothing to show.
OPEN_DOOR = DoorSettings()


def door_settings(environ: Mapping[str, str] = os.environ) -> DoorSettings:
    """``TRIREME_BIND`` (127.0.0.1), ``TRIREME_TOKENS`` (commas between) or ``TRIREME_TOKENS_FILE`` (one a line).

    And ``TRIREME_TLS_CERT``, ``TRIREME_TLS_KEY``, ``TRIREME_CLIENT_CA`` (PEM files) and ``TRIREME_INSECURE`` (1: a
    public address without any of it is meant).

    Raises:
        ConfigError: naming every variable that is wrong, and never a token.
    """
    problems: list[str] = []
    bind = environ.get("TRIREME_BIND") or DoorSettings.bind
    try:
        is_loopback = ipaddress.ip_address(bind).is_loopback
    except ValueError:
        problems.append(f"TRIREME_BIND: expected an IP address, got {bind!r}")
        is_loopback = True
    tokens = _tokens(environ, problems)
    cert, key, client_ca = (
        _file(environ, f"TRIREME_{name}", problems) for name in ("TLS_CERT", "TLS_KEY", "CLIENT_CA")
    )
    if bool(cert) != bool(key):
        problems.append("TRIREME_TLS_CERT and TRIREME_TLS_KEY: expected both or none")
    if client_ca and not cert:
        problems.append("TRIREME_CLIENT_CA: expected TRIREME_TLS_CERT and TRIREME_TLS_KEY with it")
    insecure = environ.get("TRIREME_INSECURE", "")
    if insecure not in ("", "1"):
        problems.append(f"TRIREME_INSECURE: expected 1 or nothing, got {insecure!r}")
    if not is_loopback and not tokens and not client_ca and insecure != "1":
        problems.append(
            f"TRIREME_BIND={bind}: expected TRIREME_TOKENS, TRIREME_TOKENS_FILE or TRIREME_CLIENT_CA with an address "
            "that others reach; where everybody may ask, say TRIREME_INSECURE=1"
        )
    if problems:
        raise ConfigError("environment", problems)
    return DoorSettings(bind, tokens, cert, key, client_ca)


def _tokens(environ: Mapping[str, str], problems: list[str]) -> tuple[str, ...]:
    named, path = environ.get("TRIREME_TOKENS", ""), environ.get("TRIREME_TOKENS_FILE", "")
    if named and path:
        problems.append("TRIREME_TOKENS and TRIREME_TOKENS_FILE: expected one of them")
        return ()
    variable, texts = "TRIREME_TOKENS", named.split(",")
    if path:
        variable = "TRIREME_TOKENS_FILE"
        try:
            if Path(path).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                problems.append(f"{variable}: expected a file that its owner alone may read (chmod 600), got {path}")
            texts = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{variable}: cannot be read: {error}")
            return ()
    tokens = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    for number, token in enumerate(tokens, start=1):
        if not MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS or not all("!" <= letter <= "~" for letter in token):
            problems.append(
                f"{variable}: token {number}: expected {MIN_TOKEN_CHARS} to {MAX_TOKEN_CHARS} visible ASCII characters "
                "(openssl rand -hex 32), got something else"
            )
    if path and not tokens:
        problems.append(f"{variable}: expected a token a line, got none")
    return tokens


def _file(environ: Mapping[str, str], variable: str, problems: list[str]) -> str:
    path = environ.get(variable, "")
    if path and not os.access(path, os.R_OK):
        problems.append(f"{variable}: expected a file that can be read, got {path}")
    return str(Path(path).resolve()) if path else ""
