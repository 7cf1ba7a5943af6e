"""What this machine lacks, each finding with the line that mends it.

Standard library only: it runs before any setup.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import platform
import shutil
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MIN_DISK_GIB = 8.0
MIN_MEMORY_GIB = 6.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check: what was looked for, whether it is there, and the line to run when it is not."""

    what: str
    found: str
    ok: bool
    mend: str = ""


def examine(root: Path, wanted_ports: dict[str, int]) -> list[Finding]:
    """All checks.

    Args:
        root: the data root, there or not.
        wanted_ports: port by name.
    """
    findings = [finding for check in _CHECKS for finding in check()]
    return [*findings, _disk(root), *_ports(wanted_ports)]


def _system() -> Iterator[Finding]:
    machine = f"{platform.system()} {platform.machine()}"
    yield Finding(
        "Linux on x86_64", machine, machine == "Linux x86_64", "use a Linux machine: the wheels hold binaries"
    )
    libc = " ".join(platform.libc_ver())
    recent = tuple(int(part) for part in (platform.libc_ver()[1] or "0").split(".")) >= (2, 34)
    yield Finding("glibc 2.34 or newer", libc or "none", recent, "use Debian 12, Ubuntu 22.04 or newer")


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python 3.11", version, sys.version_info[:2] == (3, 11), "apt-get install python3.11 python3.11-venv")
    library = Path(sysconfig.get_config_var("LIBDIR") or "") / (sysconfig.get_config_var("INSTSONAME") or "")
    there = library.is_file() and library.suffix != ".a"
    mend = "apt-get install libpython3.11 (a Python built by hand: configure --enable-shared)"
    yield Finding("Python's shared library", str(library) if there else "none", there, mend)
    uv = shutil.which("uv") or shutil.which("uv", path=str(REPOSITORY / ".uv" / "bin"))
    found = uv or ("pip" if importlib.util.find_spec("pip") else "none")
    yield Finding("uv, or pip to get it", found, found != "none", "apt-get install python3-pip")


def _tools() -> Iterator[Finding]:
    for tool, package in (("make", "make"), ("gcc", "gcc"), ("git", "git")):
        where = shutil.which(tool)
        yield Finding(tool, where or "none", where is not None, f"apt-get install {package}")
    compiler = shutil.which("g++") or "none: python steps serve"
    yield Finding("g++, for make backend only", compiler, True, "apt-get install g++")


def _environments() -> Iterator[Finding]:
    for name in (".venv-train", ".venv"):
        there = (REPOSITORY / name / "bin" / "python").exists()
        # What make installs by itself is no fault of the machine.
        yield Finding(f"environment {name}", "yes" if there else "not yet: make run makes it", True, "make setup")


def _memory() -> Iterator[Finding]:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding(
        f"{MIN_MEMORY_GIB:.0f} GiB of memory", f"{gib:.1f} GiB", gib >= MIN_MEMORY_GIB, "use a bigger machine"
    )
    shared = shutil.disk_usage("/dev/shm").total / 2**20 if Path("/dev/shm").is_dir() else 0.0
    mend = "mount -o remount,size=1G /dev/shm (docker run: --shm-size=1g)"
    yield Finding("256 MiB of /dev/shm", f"{shared:.0f} MiB", shared >= 256, mend)


def _disk(root: Path) -> Finding:
    existing = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    gib = shutil.disk_usage(existing).free / 2**30
    mend = "free some space, or put the data elsewhere: TRIREME_ROOT=/other/folder"
    return Finding(f"{MIN_DISK_GIB:.0f} GiB of disk at {existing}", f"{gib:.1f} GiB", gib >= MIN_DISK_GIB, mend)


def _ports(wanted: dict[str, int]) -> Iterator[Finding]:
    busy = [f"{port} ({name})" for name, port in wanted.items() if _listens(port)]
    what = f"ports {min(wanted.values())} to {max(wanted.values())}"
    mend = "a stack that runs: make down; somebody else's: TRIREME_PORT_BASE=21000 make run"
    yield Finding(what, f"taken: {', '.join(busy)}" if busy else "free", not busy, mend)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (_system, _python, _tools, _environments, _memory)
