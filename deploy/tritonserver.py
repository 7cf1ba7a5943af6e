"""The command line and environment of tritonserver, taken from the nvidia-pytriton wheel: binary only, no container.

Of the wheel only the server, its python backend and the stub for this Python are used. The environment picks the
interpreter that runs the models: the backend's stub takes the first ``python3`` on ``PATH`` and ignores ``PYTHONPATH``,
so the repository is made importable by a ``.pth`` file in the virtual environment (``make setup``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import psutil

from contracts.errors import StackError
from contracts.tensors import ENSEMBLES
from deploy.ports import HOST

#: What `make backend` builds.
NATIVE_LIBRARY = Path(__file__).resolve().parent.parent / "ensemble" / "backend" / "build" / "libtriton_trireme.so"

#: How the C library hands out memory to the python steps. By itself it raises the size from which an array is a mapping
#: of its own to that of the largest one that was freed, so that all come to lie on the heap with holes between them.
#: Fixed, what is freed goes back, but for what a batch of 64 rows needs again at once; and threads share one heap, for
#: one of them runs at a time.
_ALLOCATION = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(8 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
#: Seconds that a stopping server waits for requests in flight.
EXIT_TIMEOUT_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class Launch:
    """What to execute: ``argv``, and what the environment holds beside what is inherited."""

    argv: tuple[str, ...]
    env: Mapping[str, str]

    def full_env(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The inherited environment with ours over it, for ``subprocess``."""
        return {**environ, **self.env}


@dataclasses.dataclass(frozen=True)
class Native:
    """What the C++ backend is told at its start, which is all that it asks of its surroundings.

    Attributes:
        redis: the online store, ``host:port``.
        variant: arm of the experiment, as answers name it.
        fault: a file that says what shall go wrong, in drills.
        impressions: the socket that impressions are sent to; none are without one.
    """

    redis: str
    variant: str = ""
    fault: str = ""
    impressions: str = ""


def launch(
    repository: Path, backends: Path, *, http: int, grpc: int, metrics: int, native: Native | None = None
) -> Launch:
    """The launch of one server over a model repository, listening on 127.0.0.1 only.

    Args:
        repository: a whole release.
        backends: a folder of ours; backends are assembled there (``assemble_backends``).
        http: port of the HTTP endpoint.
        grpc: port of the gRPC endpoint.
        metrics: port of the Prometheus endpoint.
        native: serve by the C++ backend, which must have been built, instead of the python steps.

    Raises:
        StackError: when the wheel is not installed or lacks what is needed.
    """
    wheel = _wheel()
    assemble_backends(backends)
    if native:
        assemble_native(backends)
        repository = repository / "native"
    argv = (
        str(wheel / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={repository.resolve()}",
        f"--backend-directory={backends.resolve()}",
        f"--cache-directory={wheel / 'pytriton' / 'tritonserver' / 'caches'}",
        # What is public, and with it whatever it is made of: a release holds models for both ways to serve.
        "--model-control-mode=explicit",
        *(f"--load-model={ensemble.name}" for ensemble in ENSEMBLES),
        # Configurations are generated in full; completing them would start every stub twice.
        "--disable-auto-complete-config",
        f"--http-address={HOST}",
        f"--http-port={http}",
        f"--grpc-address={HOST}",
        f"--grpc-port={grpc}",
        f"--metrics-address={HOST}",
        f"--metrics-port={metrics}",
        "--metrics-config=summary_latencies=true",
        "--allow-gpu-metrics=false",
        f"--backend-config=python,shm-region-prefix-name={_shared_memory_prefix(http)}",
        *(f"--backend-config=trireme,{name}={value}" for name, value in _told(native)),
        f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
    )
    return Launch(argv, _environment(wheel) | ({} if native else _ALLOCATION))


def assemble_backends(folder: Path) -> None:
    """Lay the python backend and the stub of this Python side by side: the server looks for the stub only there.

    Safe to call again, also while a server runs from the folder.
    """
    source = _wheel() / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = source / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise StackError(f"nvidia-pytriton has no python backend for Python {version}; make the environment with 3.11")
    python = folder / "python"
    python.mkdir(parents=True, exist_ok=True)
    for file in (*(source / "backends" / "python").iterdir(), stub):
        target = python / file.name
        if file.is_file() and not (target.exists() and target.stat().st_size == file.stat().st_size):
            # By rename: a running stub keeps the file that it was started from.
            partial = python / f"{file.name}.{os.getpid()}.partial"
            shutil.copyfile(file, partial)
            partial.chmod(0o755)
            partial.replace(target)


def assemble_native(folder: Path) -> None:
    """Lay the C++ backend and the library of the onnxruntime wheel side by side, where the backend looks for it.

    Raises:
        StackError: when it was not built.
    """
    if not NATIVE_LIBRARY.is_file():
        raise StackError(f"the C++ backend is not built ({NATIVE_LIBRARY} is not there); run: make backend")
    onnxruntime = Path(str(importlib.metadata.distribution("onnxruntime").locate_file("onnxruntime/capi")))
    native = folder / "trireme"
    native.mkdir(parents=True, exist_ok=True)
    for name, file in (
        (NATIVE_LIBRARY.name, NATIVE_LIBRARY),
        ("libonnxruntime.so.1", next(onnxruntime.glob("libonnxruntime.so.*"))),
    ):
        # By rename: a running server keeps the file that it was started from.
        partial = native / f"{name}.{os.getpid()}.partial"
        shutil.copyfile(file, partial)
        partial.replace(native / name)


def _told(native: Native | None) -> list[tuple[str, str]]:
    """Settings of the C++ backend that have a value."""
    return [(name, value) for name, value in dataclasses.asdict(native).items() if value] if native else []


def clear_shared_memory(http: int) -> None:
    """Remove the memory that a killed server of this port left behind; only while none runs there."""
    for region in Path("/dev/shm").glob(f"{_shared_memory_prefix(http)}*"):
        region.unlink(missing_ok=True)


def end_orphans(backends: Path) -> int:
    """End what servers of this folder that are gone have left running; returns how many processes there were.

    A stub looks for its server three times a second and ends when that is gone, but for its end it waits for what may
    never come: Python's lock, which native code holds, or a server that was killed while it loaded the step.
    """
    ended = 0
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            # A server leads its process group; while somebody is left in that, no other process gets its number.
            if not psutil.pid_exists(os.getpgid(pid)):
                process = psutil.Process(pid)
                if any(str(backends.resolve()) in part for part in process.cmdline()):
                    process.kill()
                    ended += 1
    return ended


def _shared_memory_prefix(http: int) -> str:
    return f"trireme-{http}-"


def _wheel() -> Path:
    """The folder that holds the wheel's packages; pytriton itself is never imported (its needs are not installed)."""
    try:
        distribution = importlib.metadata.distribution("nvidia-pytriton")
    except importlib.metadata.PackageNotFoundError:
        raise StackError("nvidia-pytriton is not installed in this environment; run: make setup") from None
    return Path(str(distribution.locate_file(""))).resolve()


def _environment(wheel: Path) -> dict[str, str]:
    library_dir = sysconfig.get_config_var("LIBDIR")
    library = Path(library_dir) / sysconfig.get_config_var("INSTSONAME")
    if not library.is_file():
        raise StackError(
            f"expected Python's shared library at {library}: the models' stub links to it; "
            "use a Python that was built with --enable-shared (Debian: apt-get install libpython3.11)"
        )
    return {
        "LD_LIBRARY_PATH": f"{wheel / 'nvidia_pytriton.libs'}:{library_dir}",
        "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        # Models are single-threaded; servers and stubs share few cores and gain by instances, not by threads.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
