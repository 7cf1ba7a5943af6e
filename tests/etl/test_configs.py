"""The configurations of public data sets hold what their files hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import ArtifactError, ConfigError
from contracts.stack import data_folder
from etl import check, source

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["completejourney", "movielens", "smoke"])
def test_every_column_of_a_data_set_that_comes_with_the_environment_is_there(name: str) -> None:
    assert check.run(ROOT / f"configs/{name}.toml")[1] > 10


@pytest.mark.parametrize(
    ("name", "file", "columns"), [("globo", "globo/clicks.parquet", 6), ("ml-1m", "ml-1m-half/users.dat", 8)]
)
def test_a_file_is_what_its_configuration_says_where_it_is_at_hand(name: str, file: str, columns: int) -> None:
    try:
        source.locate(f"data:{file}")
    except ArtifactError:
        pytest.skip(f"{file} is not below {data_folder()} (TRIREME_DATA)")
    assert check.run(ROOT / f"configs/{name}.toml")[1] == columns


def test_data_that_is_not_at_hand_is_named_with_the_variable_that_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIREME_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match=r"data:globo/clicks\.parquet: no such file; .*TRIREME_DATA moves"):
        check.run(ROOT / "configs/globo.toml")


def test_every_rating_of_movielens_becomes_an_event(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "etl", "run", "configs/movielens.toml"],
        cwd=ROOT,
        env={**os.environ, "TRIREME_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["events"], figures["quarantined"], figures["items"]) == (100_000, 0, 1_273)
    assert all(figures["rows"][window] > 1_000 for window in "ABC")
