"""The stack serves by the C++ backend where nothing speaks against it, and says what does."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import native, tritonserver
from deploy.tritonserver import Native, launch


def test_a_backend_that_is_not_built_is_named_with_what_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "NATIVE_LIBRARY", tmp_path / "none.so")
    assert not native.serves(tmp_path)
    assert "python steps serve: the C++ backend is not built (make backend)" in caplog.text


def test_a_release_that_it_cannot_answer_is_an_objection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "NATIVE_LIBRARY", Path(__file__))
    assert "expected a release in" in native.objection(tmp_path)


def test_a_launch_over_the_native_repository_tells_the_backend_where_redis_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "libtriton_trireme.so"
    library.write_bytes(b"code")
    monkeypatch.setattr(tritonserver, "NATIVE_LIBRARY", library)
    ports = {"http": 1, "grpc": 2, "metrics": 3}
    argv = launch(tmp_path / "r", tmp_path / "backends", **ports, native=Native("127.0.0.1:7", "b")).argv
    assert f"--model-repository={(tmp_path / 'r' / 'native').resolve()}" in argv
    assert {"--backend-config=trireme,redis=127.0.0.1:7", "--backend-config=trireme,variant=b"} <= set(argv)
    laid = {path.name for path in (tmp_path / "backends" / "trireme").iterdir()}
    assert laid == {library.name, "libonnxruntime.so.1"}
    assert not [text for text in launch(tmp_path / "r", tmp_path / "backends", **ports).argv if "trireme,redis" in text]


def test_only_the_python_steps_are_told_how_to_allocate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libtriton_trireme.so"
    library.write_bytes(b"code")
    monkeypatch.setattr(tritonserver, "NATIVE_LIBRARY", library)
    ports = {"http": 1, "grpc": 2, "metrics": 3}
    python = launch(tmp_path / "r", tmp_path / "backends", **ports).env
    assert int(python["MALLOC_MMAP_THRESHOLD_"]) == 8 << 20, "glibc knows no units"
    native = launch(tmp_path / "r", tmp_path / "backends", **ports, native=Native("127.0.0.1:7")).env
    assert python.keys() - native.keys() == {name for name in python if name.startswith("MALLOC_")}
