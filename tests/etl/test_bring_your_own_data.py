"""docs/bring-your-own-data.md, followed to the letter in an empty folder: it ends as the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/bring-your-own-data.md").read_text()
FILES = dict(re.findall(r"^`(shop/[\w.]+)`\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
JSON = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
SAID = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ADDED = [
    text for text in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if text not in FILES.values()
]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
    environment.pop("TRIREME_ROOT", None)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, the script's rows among them."""
    folder = tmp_path_factory.mktemp("newcomer")
    assert {"shop/events.csv", "shop/items.csv", "shop/customers.csv", "shop/more.py", "shop/shop.toml"} == {*FILES}
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    made = run(folder, "shop/more.py")
    assert made.returncode == 0, made.stderr
    return folder


def test_check_says_what_the_page_shows(folder: Path) -> None:
    (said,) = SAID
    done = run(folder, "-m", "etl", "check", "shop/shop.toml")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.split() == said.split()


def test_with_the_two_lines_the_newcomer_arrives_where_the_page_does(folder: Path) -> None:
    checked, ran = JSON
    (lines,) = ADDED
    mended = FILES["shop/shop.toml"].replace("[source.events.columns]", f"{lines}[source.events.columns]")
    (folder / "shop/shop.toml").write_text(mended)
    done = run(folder, "-m", "etl", "check", "shop/shop.toml")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == checked
    done = run(folder, "-m", "etl", "run", "shop/shop.toml")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: found[name] for name in ran if name != "seconds"} == {
        name: held for name, held in ran.items() if name != "seconds"
    }
    log = (folder / "shop/events.csv").read_text().splitlines()
    assert found["events"] + found["quarantined"] == len(log) - 1
    refused = pq.read_table(folder / "var/teashop/quarantine/refused").to_pylist()
    assert sorted((row["reason"], row["unreadable"] is None) for row in refused) == [
        ("negative_value", True),
        ("wrong_type", False),
    ]


def test_the_page_names_every_setting_of_a_table() -> None:
    import dataclasses

    from contracts.config import EventTable

    names = {field.name for field in dataclasses.fields(EventTable)} - {"columns"}
    assert not [name for name in names if f"`{name}`" not in PAGE]
