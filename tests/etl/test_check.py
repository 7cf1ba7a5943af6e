"""``etl check``: every fault of a configuration and of its files at once, each with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from etl import __main__ as command_line
from etl import check
from tests.etl import shop


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        check.run(path)
    return caught.value.problems


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path


def test_a_right_configuration_says_how_many_columns_it_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["check", str(shop.write(tmp_path))]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "shop", "columns": 11}


def test_all_faults_of_a_broken_file_are_listed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Types, unknown names, cross checks, missing files, missing columns and what the rows hold, in one go."""
    path = edited(
        shop.write(tmp_path),
        ('name = "shop"', "name = 7\nzzz = 1"),
        ('value = "price"', 'value = "cost"'),
        ('event_time = "when"', 'event_time = "when"\nshop = "n"'),
        ("users.csv", "people.csv"),
        ('user_categorical = ["age"]', 'user_categorical = ["age", "income"]'),
        ('category = "kind"', 'category = "colour"'),
        ("min_item_count = 1", "min_item_count = 0"),
        ('cut = "2020-02-20"', 'cut = "2020-02-05"'),
    )
    path.write_text(path.read_text() + "\n[train]\nseed = 1.5\n[quality]\nranges = { value = [5, 1] }\n")
    assert command_line.main(["check", str(path)]) == 1
    listed = capsys.readouterr().err
    found = problems(path)
    assert {problem.split(":")[0] for problem in found} == {
        "name",
        "zzz",
        "train.seed",
        "source.events.columns.shop",
        "source.events.columns.value",
        "source.users.url",
        "features.user_categorical",
        "features.category",
        "features.min_item_count",
        "windows",
        "quality.ranges.value",
    }
    assert len(found) == 11
    unwrapped = "".join(listed.split())
    assert all("".join(problem.split()) in unwrapped for problem in found)


def replaced(name: str, old: str, new: str, count: int = -1) -> Callable[[Path], None]:
    """Change a file of the shop."""

    def change(folder: Path) -> None:
        file = folder / name
        file.write_text(file.read_text().replace(old, new, count))

    return change


#: name: (change of the files, the problem's setting, words that it must have)
FILES: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "seconds taken for milliseconds": (
        replaced("events.csv", "000,purchase", ",purchase"),
        "source.events.columns.event_time",
        ("column 'when'", "1970-01-19", "set time_unit = 's'"),
    ),
    "words for times": (
        replaced("events.csv", "0000,purchase", "th of May,purchase"),
        "source.events.columns.event_time",
        ("cannot be read as times", "th of May"),
    ),
    "no time at all": (
        replaced("events.csv", "who,what,when,kind", "who,what,then,kind"),
        "source.events.columns.event_time",
        ("no column 'when'", "did you mean 'then'"),
    ),
    "words of its own for event types": (
        replaced("events.csv", ",purchase,", ",Purchased,"),
        "source.events.event_types",
        ("'Purchased'", 'event_types = { Purchased = "purchase" }', "add_to_cart"),
    ),
    "text for a number": (
        replaced("events.csv", ".5,1\n", " EUR,1\n"),
        "source.events.columns.value",
        ("column 'price'", " EUR'", "expected numbers"),
    ),
    "an empty id": (
        lambda folder: (folder / "users.csv").write_text("who,age\n,3\n,4\n") and None,
        "source.users.columns.user_id",
        ("column 'who' is empty in the first 2 rows",),
    ),
    "text for a numeric feature": (
        replaced("items.csv", ".5\n", " EUR\n"),
        "source.items.columns.price",
        ("column 'price'", "expected numbers"),
    ),
    "ids that never meet": (
        replaced("items.csv", "\ni", "\n0"),
        "source.items.columns.item_id",
        ("none of the 8 items", "must write an item alike"),
    ),
    "another separator": (
        replaced("events.csv", ",", ";"),
        "source.events.columns.user_id",
        ("no column 'who'", "who;what;when"),
    ),
    "uneven rows": (
        replaced("events.csv", ",1\n", ",1,2\n"),
        "source.events.url",
        ("720 of its first 720 rows cannot be read", "has 7 values, not 6"),
    ),
    "a header twice": (
        replaced("events.csv", "kind,price,n", "kind,price,kind"),
        "source.events.columns.event_type",
        ("has 2 columns 'kind'",),
    ),
    "no rows": (
        lambda folder: (folder / "events.csv").write_text("who,what,when,kind,price,n\n") and None,
        "source.events.url",
        ("has no rows",),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_the_files_contradict_is_told_with_the_setting_and_the_column(tmp_path: Path, name: str) -> None:
    change, setting, words = FILES[name]
    path = shop.write(tmp_path)
    change(tmp_path)
    found = [problem for problem in problems(path) if problem.startswith(f"{setting}: ")]
    assert len(found) == 1, problems(path)
    assert not [word for word in words if word not in found[0]], found


def test_a_fault_of_one_table_does_not_hide_those_of_another(tmp_path: Path) -> None:
    path = shop.write(tmp_path)
    replaced("events.csv", "000,purchase", ",purchase")(tmp_path)
    (tmp_path / "items.csv").unlink()
    replaced("users.csv", "who", "whom")(tmp_path)
    edited(path, ('age = "age"', "age = 3"))
    assert {problem.split(":")[0] for problem in problems(path)} == {
        "source.users.columns.age",
        "source.events.columns.event_time",
        "source.items.url",
        "source.users.columns.user_id",
    }


def test_every_file_of_a_glob_is_looked_at(tmp_path: Path) -> None:
    path = edited(shop.write(tmp_path), ("events.csv", "events*.csv"))
    (tmp_path / "events-2.csv").write_text("who,what,when,kind,n\nu1,i1,1577836800000,purchase,1\n")
    (problem,) = problems(path)
    assert problem.startswith("source.events.columns.value: ") and "events-2.csv has no column 'price'" in problem


def test_a_rare_bad_row_is_for_the_quarantine(tmp_path: Path) -> None:
    path = shop.write(tmp_path)
    replaced("events.csv", "purchase", "teleport", 3)(tmp_path)
    replaced("events.csv", ".5,1\n", "x,1\n", 3)(tmp_path)
    assert check.run(path)[0].name == "shop"
