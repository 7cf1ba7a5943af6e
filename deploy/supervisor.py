"""The process manager of the local stack: supervisord, spoken to over a unix socket that only this user can open."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from contracts.door import SECRETS
from contracts.errors import StackError

#: A unix socket's path has at most 107 bytes on Linux, and supervisord makes a temporary one with a longer name.
MAX_SOCKET_PATH = 90
#: The states of a program that runs.
RUNNING = ("RUNNING", "STARTING")
#: The most that parts may take to stop, one after the other.
SHUTDOWN_SECONDS = 60.0
#: So long after the end of their programs, children that end by themselves have done so.
ORPHAN_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Program:
    """One supervised process; programs are stopped in the reverse of their order."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    #: Seconds between SIGTERM and SIGKILL.
    stop_seconds: int = 10


class Supervisor:
    """The supervisord of one stack folder, running or not."""

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.socket = self.folder / "supervisor.sock"
        self.logs = self.folder / "logs"

    def log(self, program: str) -> Path:
        """Where a program's output goes, both streams."""
        return self.logs / f"{program}.log"

    def is_running(self) -> bool:
        """Whether our supervisord answers."""
        return self.pid() is not None

    def pid(self) -> int | None:
        """The pid of our supervisord; a socket that nobody answers counts as not running."""
        if not self.socket.exists():
            return None
        try:
            with self._call() as supervisor:
                return supervisor.getPID()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return None

    def write(self, programs: Sequence[Program]) -> None:
        """Write the configuration.

        Raises:
            StackError: when the folder's path is too long for a unix socket.
        """
        if len(str(self.socket)) > MAX_SOCKET_PATH:
            raise StackError(
                f"{self.socket}: expected a path of at most {MAX_SOCKET_PATH} characters for a unix socket, "
                f"got {len(str(self.socket))}; choose a shorter TRIREME_ROOT"
            )
        self.logs.mkdir(parents=True, exist_ok=True)
        partial = self.folder / "supervisord.conf.partial"
        partial.write_text(self._document(programs), encoding="utf-8")
        partial.replace(self.folder / "supervisord.conf")

    def start(self) -> None:
        """Start supervisord as a daemon over the written configuration; no program starts by itself."""
        argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.folder / "supervisord.conf")]
        env = {name: value for name, value in os.environ.items() if name not in SECRETS}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        end = time.monotonic() + 10
        while done.returncode == 0 and time.monotonic() < end:
            if self.is_running():
                return
            time.sleep(0.05)
        raise StackError(f"supervisord did not start: {done.stderr.strip() or done.stdout.strip() or 'no answer'}")

    def reload(self) -> list[str]:
        """Take over the written configuration; programs that it changes or removes are stopped. Returns the changed.

        Raises:
            StackError: when one of them still runs after a minute.
        """
        with self._call() as supervisor:
            added, changed, removed = supervisor.reloadConfig()[0]
            for name in (*changed, *removed):
                # Not by stopProcessGroup, which waits for ever where somebody else starts the program meanwhile.
                self.stop_program(name)
                supervisor.removeProcessGroup(name)
            for name in (*added, *changed):
                supervisor.addProcessGroup(name)
        return list(changed)

    def start_program(self, name: str) -> bool:
        """Start one program if it does not run; whether it had to be started."""
        with self._call() as supervisor:
            if supervisor.getProcessInfo(name)["statename"] in RUNNING:
                return False
            supervisor.startProcess(name, False)
        return True

    def stop_program(self, name: str) -> None:
        """Stop one program, whatever its state, and wait until it is gone; it does not start again by itself.

        Raises:
            StackError: when it still runs after a minute.
        """
        end = time.monotonic() + SHUTDOWN_SECONDS
        while self.processes()[name]["statename"] not in ("STOPPED", "FATAL"):
            if time.monotonic() > end:
                raise StackError(f"{name} does not stop")
            # One that has just died is not running, and is started again at once: it is asked until it is stopped.
            with self._call() as supervisor, contextlib.suppress(xmlrpc.client.Fault):
                supervisor.stopProcess(name, True)
            time.sleep(0.05)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What supervisord says of every program: ``statename``, ``pid``, ``start``, ``now``, ``description``."""
        with self._call() as supervisor:
            return {info["name"]: info for info in supervisor.getAllProcessInfo()}

    def shutdown(self) -> None:
        """Stop every program, the last first, then supervisord itself, and wait until all of it is gone.

        Raises:
            StackError: when it is still there after a minute, or a program's child after it was killed.
        """
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            with self._call() as supervisor:
                supervisor.shutdown()
            if psutil.wait_procs(family[:1], timeout=SHUTDOWN_SECONDS)[1]:
                raise StackError(f"supervisord (pid {pid}) is still there a minute after it was asked to stop")
            _end(psutil.wait_procs(family[1:], timeout=ORPHAN_SECONDS)[1])
        self.socket.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _call(self) -> Iterator[Any]:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport) as proxy:
            yield proxy.supervisor

    def _document(self, programs: Sequence[Program]) -> str:
        lines = [
            "[unix_http_server]",
            f"file={_escape(self.socket)}",
            "chmod=0600",
            "[supervisord]",
            f"logfile={_escape(self.log('supervisord'))}",
            f"pidfile={_escape(self.folder / 'supervisord.pid')}",
            f"directory={_escape(Path.cwd())}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for order, program in enumerate(programs):
            environment = ",".join(f'{key}="{_escape(value)}"' for key, value in sorted(program.env.items()))
            lines += [
                f"[program:{program.name}]",
                f"command={_escape(shlex.join(program.argv))}",
                f"environment={environment}",
                f"priority={order}",
                "autostart=false",
                "autorestart=true",
                "startsecs=1",
                "startretries=3",
                f"stopwaitsecs={program.stop_seconds}",
                # A tritonserver that is killed leaves its stubs behind, unless they are killed with it.
                "killasgroup=true",
                "redirect_stderr=true",
                f"stdout_logfile={_escape(self.log(program.name))}",
                "stdout_logfile_maxbytes=20MB",
                "stdout_logfile_backups=1",
            ]
        return "\n".join(lines) + "\n"


def _end(orphans: Sequence[psutil.Process]) -> None:
    """Children of programs that have ended without them; nobody else is left to end them."""
    for process in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    if alive := psutil.wait_procs(orphans, timeout=ORPHAN_SECONDS)[1]:
        raise StackError(f"killed, and still there: {', '.join(f'pid {process.pid}' for process in alive)}")


def _escape(value: object) -> str:
    """Supervisor expands ``%(name)s`` in every value."""
    return str(value).replace("%", "%%")
