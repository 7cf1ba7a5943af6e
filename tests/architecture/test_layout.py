"""The tree is the architecture: settings that are read, stages that are fenced, targets that exist."""

from __future__ import annotations

import dataclasses
import re
import subprocess

import pytest
import tomllib
import yaml

from contracts.config import FeatureSettings, Source, Windows
from contracts.model_settings import ServeSettings, TrainSettings
from contracts.stack import StackSettings
from tests.architecture.tree import ROOT, STAGES, files, sources, text

MAKEFILE = ROOT / "Makefile"
TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
SETTINGS = [
    f"{table.__name__}.{field.name}"
    for table in (Source, FeatureSettings, Windows, TrainSettings, ServeSettings, StackSettings)
    for field in dataclasses.fields(table)
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_read_by_some_stage(setting: str) -> None:
    name = setting.split(".")[1]
    readers = [
        path
        for path in sources(".py")
        if path.parts[0] in (*STAGES, "contracts") and path.name not in ("config.py", "config_checks.py")
        if re.search(rf"\.{name}\b", text(path) or "")
    ]
    assert readers, f"{setting} is a dead option: no stage reads it"


def test_every_package_is_fenced_by_import_linter() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {path.parts[0] for path in files() if path.name == "__init__.py"} - {"tests"}
    assert packages == {*settings["root_packages"]} == {*STAGES, "contracts"}
    independent = next(held for held in settings["contracts"] if held["type"] == "independence")
    assert {*independent["modules"]} == {*STAGES}


def test_only_the_contracts_read_the_environment() -> None:
    """Settings come from one place; what is handed to child processes may be built from ``os.environ`` as a whole."""
    found = [
        f"{path}: {match.group()}"
        for path in sources(".py")
        if path.parts[0] in STAGES
        for match in re.finditer(r"(os\.getenv|environ\.get)\(\"TRIREME_\w+", text(path) or "")
    ]
    assert not found


def test_only_the_shells_know_triton_s_backend_utilities() -> None:
    knowing = {
        str(path)
        for path in sources(".py")
        if path.parts[0] != "tests"
        and re.search(r"^\s*import triton_python_backend_utils", text(path) or "", re.MULTILINE)
    }
    assert {path for path in knowing if not path.startswith("triton_repo/")} <= {"ensemble/triton_io.py"}


def test_nothing_is_unpickled() -> None:
    found = [
        f"{path}: {match.group()}"
        for path in sources(".py")
        if path.parts[0] != "tests"
        for match in re.finditer(
            r"allow_pickle=True|^\s*(import|from) (pickle|cloudpickle|joblib|dill)\b", text(path) or "", re.M
        )
    ]
    assert not found


def test_cpp_is_formatted() -> None:
    """As ruff does for Python; `make format` mends it."""
    files_of_it = [str(path) for path in sources(".cc", ".h")]
    formatter = ROOT / ".venv" / "bin" / "clang-format"
    ran = subprocess.run([formatter, "--dry-run", "--Werror", *files_of_it], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_make_alone_prints_every_target_with_what_it_does() -> None:
    printed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {*TARGET.findall(MAKEFILE.read_text())} - {"help"}
    listed = {
        match.group(1) for match in re.finditer(r"^\W*(?:\x1b\[\d+m)?([a-z][a-z0-9-]*)\S*\s+\S", printed, re.MULTILINE)
    }
    assert targets - listed == set(), "a target without a ## comment is one that nobody finds"
    assert {"setup", "run", "test", "check", "down", "status", "doctor", "export"} <= targets


def test_a_pre_commit_hook_is_a_line_of_make_check() -> None:
    rule = re.search(r"^check:.*\n((?:\t.+\n)+)", MAKEFILE.read_text(), re.MULTILINE)
    assert rule, "the Makefile has no target check"
    checked = rule.group(1).replace("\t@", "\t").replace("$(SERVE)", ".venv/bin/python").replace("\t", "").splitlines()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == checked


def test_every_make_target_that_a_document_names_exists() -> None:
    targets = {*TARGET.findall(MAKEFILE.read_text())}
    for path in sources(".md", ".yaml", ".yml"):
        for named in re.findall(
            r"(?:^|`|\s)(?:[A-Z_]+=\S+ )?make ((?:[a-z][a-z0-9-]*(?: |`|$))+)", code(text(path) or ""), re.M
        ):
            for name in named.replace("`", " ").split():
                assert name in targets, f"{path} names make {name}"


def code(markdown: str) -> str:
    """The fenced blocks and inline code of a document, a line each."""
    fenced = re.findall(r"^```.*?$(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", markdown)
    blocks = [re.sub(r"\s+#.*$", "", block, flags=re.MULTILINE) for block in fenced]
    return "\n".join([*blocks, *inline])
