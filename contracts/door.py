"""Who may come in: the address of the public port, what a client must show there, and what our own commands show.

On the loopback interface nothing need be shown. A public address without tokens and without client certificates is
refused, unless the environment says that this is meant.
"""

from __future__ import annotations

import dataclasses
import http.client
import ipaddress
import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError

#: Variables that no process but Envoy's configuration may see.
SECRETS = ("TRIREME_TOKENS",)
#: 128 bits as hexadecimal digits.
MIN_TOKEN_CHARS = 32
MAX_TOKEN_CHARS = 256


@dataclasses.dataclass(frozen=True)
class DoorSettings:
    """The public port, and how our own commands pass it.

    Attributes:
        bind: its IP address.
        tokens: those that are known there; commands show the first.
        tls_cert: PEM file of its certificate; "" where there is no TLS. It is also what commands know it by.
        tls_key: PEM file of that certificate's key.
        client_ca: PEM file of the authority whose certificates clients must show; "" where they need none.
        client_cert: PEM file of the certificate that commands show.
        client_key: PEM file of its key.
        public_host: the name by which clients know it, and its certificate too; "" is its address.
    """

    bind: str = "127.0.0.1"
    tokens: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""
    client_cert: str = ""
    client_key: str = ""
    public_host: str = ""

    @property
    def host(self) -> str:
        """The address by which a process of this machine reaches the door."""
        address = ipaddress.ip_address(self.bind)
        return ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else self.bind

    @property
    def may_ask(self) -> bool:
        """Whether our own commands hold what the door asks for."""
        return not self.client_ca or bool(self.client_cert)

    def address(self, port: int) -> str:
        """``host:port``, by which a process of this machine reaches it."""
        return f"{_in_url(self.host)}:{port}"

    def url(self, port: int) -> str:
        """The door's URL for clients, without a path."""
        return f"{'https' if self.tls_cert else 'http'}://{_in_url(self.public_host or self.host)}:{port}"

    def headers(self) -> dict[str, str]:
        """What a client of ours sends along."""
        return {"authorization": f"Bearer {self.tokens[0]}"} if self.tokens else {}

    def connect(self, port: int, timeout_seconds: float) -> http.client.HTTPConnection:
        """A connection for REST, made by its first request, and ``ssl.SSLError`` at a door that is not ours."""
        if not self.tls_cert:
            return http.client.HTTPConnection(self.host, port, timeout=timeout_seconds)
        context = ssl.create_default_context(cafile=self.tls_cert)
        # The door's own certificate is enough to know it by, whoever signed it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.client_cert:
            context.load_cert_chain(self.client_cert, self.client_key)
        return _NamedConnection(self, port, timeout_seconds, context)

    def grpc_tls(self) -> dict[str, Any]:
        """The same for gRPC, as arguments of Triton's client; none without TLS."""
        if not self.tls_cert:
            return {}
        known: dict[str, Any] = {"ssl": True, "root_certificates": self.tls_cert}
        if self.public_host:
            known["channel_args"] = [("grpc.ssl_target_name_override", self.public_host)]
        shown = {"private_key": self.client_key, "certificate_chain": self.client_cert} if self.client_cert else {}
        return known | shown


class _NamedConnection(http.client.HTTPSConnection):
    """To the door's address, where a certificate with the door's name is expected."""

    def __init__(self, door: DoorSettings, port: int, timeout_seconds: float, context: ssl.SSLContext):
        super().__init__(door.host, port, timeout=timeout_seconds, context=context)
        self._tls, self._name = context, door.public_host or door.host

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


#: The loopback interface, and nothing to show.
OPEN_DOOR = DoorSettings()


def door_settings(environ: Mapping[str, str] = os.environ) -> DoorSettings:
    """``TRIREME_BIND`` (127.0.0.1), ``TRIREME_TOKENS`` (commas between) or ``TRIREME_TOKENS_FILE`` (one a line).

    And ``TRIREME_TLS_CERT``, ``TRIREME_TLS_KEY``, ``TRIREME_CLIENT_CA`` (PEM files) and ``TRIREME_INSECURE`` (1: a
    public address without any of it is meant); for our own commands ``TRIREME_PUBLIC_HOST``, ``TRIREME_CLIENT_CERT``
    and ``TRIREME_CLIENT_KEY``.

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
    files = _files(environ, problems)
    insecure = environ.get("TRIREME_INSECURE", "")
    if insecure not in ("", "1"):
        problems.append(f"TRIREME_INSECURE: expected 1 or nothing, got {insecure!r}")
    if not is_loopback and not tokens and not files["client_ca"] and insecure != "1":
        problems.append(
            f"TRIREME_BIND={bind}: expected TRIREME_TOKENS, TRIREME_TOKENS_FILE or TRIREME_CLIENT_CA with an address "
            "that others reach; where everybody may ask, say TRIREME_INSECURE=1"
        )
    if problems:
        raise ConfigError("environment", problems)
    return DoorSettings(bind, tokens, **files, public_host=environ.get("TRIREME_PUBLIC_HOST", ""))


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


def _files(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """The PEM files by the name of their setting, as absolute paths."""
    names = ("tls_cert", "tls_key", "client_ca", "client_cert", "client_key")
    files = {name: _file(environ, f"TRIREME_{name.upper()}", problems) for name in names}
    for cert, key in (("tls_cert", "tls_key"), ("client_cert", "client_key")):
        if bool(files[cert]) != bool(files[key]):
            problems.append(f"TRIREME_{cert.upper()} and TRIREME_{key.upper()}: expected both or none")
    for name in ("client_ca", "client_cert"):
        if files[name] and not files["tls_cert"]:
            problems.append(f"TRIREME_{name.upper()}: expected TRIREME_TLS_CERT and TRIREME_TLS_KEY with it")
    return files


def _file(environ: Mapping[str, str], variable: str, problems: list[str]) -> str:
    path = environ.get(variable, "")
    if path and not os.access(path, os.R_OK):
        problems.append(f"{variable}: expected a file that can be read, got {path}")
    return str(Path(path).resolve()) if path else ""
