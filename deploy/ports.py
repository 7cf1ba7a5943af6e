"""Which part listens where, and the check that the ports are free before anything starts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from contracts.errors import StackError
from contracts.stack import PORT_OFFSETS

HOST = "127.0.0.1"
#: The tritonservers of a stack.
TRITONS = ("triton_a", "triton_b")


def ports(base: int) -> dict[str, int]:
    """Port by name.

    Example:
        >>> ports(20000)["redis"]
        20002
    """
    return {name: base + offset for name, offset in PORT_OFFSETS.items()}


def address(port: int) -> str:
    """``host:port`` on the loopback interface, as clients write it."""
    return f"{HOST}:{port}"


def taken(wanted: Mapping[str, int]) -> dict[str, str]:
    """Of the wanted ports those that somebody listens on: name -> who, as far as the system tells."""
    return {name: _holder(port) for name, port in wanted.items() if not _is_free(port)}


def check_free(wanted: Mapping[str, int]) -> None:
    """Refuse to start when a port is taken.

    Raises:
        StackError: naming every taken port, the part that wants it and the process that has it.
    """
    held = taken(wanted)
    if held:
        lines = "\n".join(f"  - {HOST}:{wanted[name]} (for {name}) is taken by {who}" for name, who in held.items())
        raise StackError(
            f"{len(held)} port(s) of the stack are taken; nothing was started\n{lines}\n"
            "end what holds them, or move the whole stack with TRIREME_PORT_BASE=<port>"
        )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of an earlier run that linger in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _holder(port: int) -> str:
    """The process that listens on a port; other users' processes are not always visible."""
    import psutil  # here, because ``make doctor`` reads the table before anything is installed

    try:
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "a process that this user cannot see"
