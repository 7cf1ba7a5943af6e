"""Settings: what is wrong is said, all of it at once, and every committed configuration loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.config import Config, load, parse
from contracts.errors import ConfigError
from contracts.stack import PORT_OFFSETS, data_folder, stack_settings
from tests.contracts.settings import GOOD, changed
from tests.strategies import json_values

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(ROOT.glob("configs/*.toml"))

#: name: (changes, the problem's beginning, words that it must have)
PROBLEMS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "no name": ({"name": ...}, "name: is missing", ("expected a string",)),
    "no windows": ({"windows": ...}, "windows: is missing", ("expected a table",)),
    "no columns": ({"source__items__columns": ...}, "source.items.columns: is missing", ()),
    "a typo": ({"train__sede": 3}, "train.sede: is not a setting", ("did you mean 'seed'?",)),
    "a setting of nobody's": ({"serve__zzz": 3}, "serve.zzz: is not a setting", ("known: ", "exclude_seen")),
    "a table of nobody's": ({"zzz": {}}, "zzz: is not a setting", ("known: name, source",)),
    "text for a number": ({"train__seed": "7"}, "train.seed: expected an integer", ("got '7'",)),
    "true for a number": ({"train__seed": True}, "train.seed: expected an integer", ("got True",)),
    "a fraction for a number": ({"train__seed": 1.5}, "train.seed: expected an integer", ("got 1.5",)),
    "a number for true": ({"serve__exclude_seen": 1}, "serve.exclude_seen: expected true or false", ("got 1",)),
    "text for a fraction": ({"train__temperature": "x"}, "train.temperature: expected a number", ("got 'x'",)),
    "text for a list": ({"features__user_categorical": "age"}, "features.user_categorical: expected a list", ("age",)),
    "a number in a list": (
        {"features__item_numeric": ["price", 3]},
        "features.item_numeric[1]: expected a string",
        ("got 3",),
    ),
    "a list for a table": ({"serve": []}, "serve: expected a table", ("got []",)),
    "a number for a column": ({"source__users__columns__age": 1}, "source.users.columns.age: expected a string", ()),
    "a name that leaves its folder": ({"name": "../x"}, "name: expected letters", ("'../x'",)),
    "windows out of order": ({"windows__cut": "2020-01-15"}, "windows: expected retrieval_end < ranker_end < cut", ()),
    "equal windows": ({"windows__cut": "2020-02-01"}, "windows: expected retrieval_end < ranker_end < cut", ()),
    "no date": ({"windows__cut": "March"}, "windows: expected dates as YYYY-MM-DD", ("March",)),
    "no shift": ({"source__time_shift": "later"}, "source.time_shift: expected 'none' or 'end_at_now'", ("'later'",)),
    "no query encoder": ({"train__query_encoder": "lstm"}, "train.query_encoder: expected 'pooling' or", ("'lstm'",)),
    "no ranker": ({"train__ranker": "bert"}, "train.ranker: expected 'dcn' or 'dlrm' or 'mmoe'", ("'bert'",)),
    "no loss": ({"train__ranker_loss": "hinge"}, "train.ranker_loss: expected 'binary' or 'listwise'", ("'hinge'",)),
    "no second task": ({"train__second_task": "x"}, "train.second_task: expected '' or 'value' or 'dwell'", ("'x'",)),
    "no way to compare": (
        {"gate": {"against_current": "equal"}},
        "gate.against_current: expected one of",
        ("'equal'",),
    ),
    "a negative margin": ({"gate": {"max_loss": -0.1}}, "gate.max_loss: expected a number, 0 or more", ("-0.1",)),
    "no event type": ({"source__events__event_type": "buy"}, "source.events.event_type: expected one of", ("'buy'",)),
    "no item of an event": ({"source__events__columns__item_id": ...}, "source.events.columns.item_id: is missing", ()),
    "no field of an event": ({"source__events__columns__shop": "s"}, "source.events.columns.shop: is not a field", ()),
    "items without id": ({"source__items__columns__item_id": ...}, "source.items.columns.item_id: is missing", ()),
    "users without id": ({"source__users__columns__user_id": ...}, "source.users.columns.user_id: is missing", ()),
    "a feature without column": (
        {"features__user_categorical": ["age", "income"]},
        "features.user_categorical: 'income' is not in source.users.columns",
        ("user_id, age",),
    ),
    "a feature listed twice": ({"features__item_numeric": ["brand"]}, "features: 'brand' is listed 2 times", ()),
    "a feature of our own name": ({"features__user_categorical": ["user_id"]}, "features: 'user_id' is a name of", ()),
    "a context of nobody's": ({"features__context": ["device"]}, "features.context: expected some of", ("'device'",)),
    "a context that is a column": (
        {"features__user_categorical": ["hour"], "source__users__columns__hour": "h", "features__context": ["hour"]},
        "features: 'hour' is listed 2 times",
        ("context",),
    ),
    "a region that no event has": (
        {"features__context": ["region"]},
        "features.context: 'region' is not in source.events.columns",
        ("user_id, item_id",),
    ),
    "no time zone": ({"features__timezone": "Mars/Utopia"}, "features.timezone: expected a name", ("'Mars/Utopia'",)),
    "a category that is none": ({"features__category": "price"}, "features.category: expected one of", ("'price'",)),
    "no recent items": ({"features__recent_items": 0}, "features.recent_items: expected a number, more than 0", ("0",)),
    "a negative batch": ({"train__retrieval_batch": -1}, "train.retrieval_batch: expected a number", ("got -1",)),
    "a temperature of NaN": ({"train__temperature": float("nan")}, "train.temperature: expected a number", ("nan",)),
    "a share beyond one": (
        {"train__id_dropout": 1.5},
        "train.id_dropout: expected a share from 0 to 1",
        ("1.5",),
    ),
    "candidates of a source that is off": (
        {"serve__als_candidates": 5},
        "serve.als_candidates: expected train.als_factors of more than 0",
        (),
    ),
    "a next event within a horizon": (
        {"windows__next_events": 10, "train__horizon_days": 30},
        "train.horizon_days",
        ("windows.next_events",),
    ),
    "no half-life": ({"features__count_half_lives_hours": []}, "features.count_half_lives_hours: expected at", ()),
    "a half-life of 0": (
        {"features__popularity_half_lives_hours": [0]},
        "features.popularity_half_lives_hours",
        ("0",),
    ),
    "buckets that do not fill a day": (
        {"features__bucket_minutes": 7},
        "features.bucket_minutes: expected minutes",
        ("got 7",),
    ),
    "dlrm with numbers only": (
        {
            "train__ranker": "dlrm",
            "features__user_categorical": [],
            "features__item_categorical": [],
            "features__category": "",
        },
        "train.ranker: 'dlrm' needs a categorical feature",
        (),
    ),
    "a rule of no feature": ({"serve__never": {"shelf": ["x"]}}, "serve.never: expected columns of", ("'shelf'",)),
    "a rule of nothing": ({"serve__only": {"brand": []}}, "serve.only.brand: expected at least one value", ()),
    "a half-life twice": ({"features__count_half_lives_hours": [1, 1]}, "features.count_half_lives_hours", ("once",)),
}


def test_a_right_configuration_is_read_with_the_defaults() -> None:
    config = parse(GOOD, "shop.toml")
    assert config.source.events.event_type == "purchase"
    assert config.features.item_categorical == ("department", "brand")
    assert config.train.seed == 20 and config.serve.exclude_seen is True
    assert dataclasses.asdict(parse(changed(serve={}), "x")) == dataclasses.asdict(config)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_setting_is_named_with_what_was_expected_and_what_came(name: str) -> None:
    changes, beginning, words = PROBLEMS[name]
    with pytest.raises(ConfigError) as caught:
        parse(changed(**changes), "shop.toml")
    assert len(caught.value.problems) == 1, caught.value.problems
    (problem,) = caught.value.problems
    assert problem.startswith(beginning)
    assert not [word for word in words if word not in problem], problem
    assert str(caught.value).startswith("shop.toml: 1 problem(s)\n  - ")


def test_every_problem_is_reported_at_once() -> None:
    raw = changed(name=3, train__sede=1, serve__exclude_seen="no", windows__cut=..., source__users__columns=[])
    with pytest.raises(ConfigError) as caught:
        parse(raw, "x")
    fields = {problem.split(":")[0] for problem in caught.value.problems}
    assert fields == {"name", "train.sede", "serve.exclude_seen", "windows.cut", "source.users.columns"}
    wrong = changed(windows__cut="x", train__ranker="y", features__category="z", train__seed=-1)
    with pytest.raises(ConfigError) as caught:
        parse(wrong, "x")
    assert len(caught.value.problems) == 4


def test_a_whole_number_may_stand_for_a_fraction() -> None:
    held = parse(changed(train__temperature=1), "x").train.temperature
    assert held == 1.0 and type(held) is float


def test_what_switches_a_part_off_is_allowed() -> None:
    serve = parse(changed(serve__session_weight=0, serve__similar_candidates=0), "x").serve
    assert (serve.session_weight, serve.similar_candidates) == (0.0, 0)


def test_tables_of_attributes_may_be_empty() -> None:
    config = parse(changed(source__users={"url": "", "columns": {}}, features__user_categorical=[]), "x")
    assert config.source.users.columns == {}


def test_a_data_set_without_a_single_attribute_is_one() -> None:
    empty = {"url": "", "columns": {}}
    raw = changed(source__users=empty, source__items=empty)
    raw["features"] = {"user_categorical": [], "item_categorical": [], "item_numeric": [], "category": ""}
    assert parse(raw, "x").features.category == ""


def test_faults_of_type_do_not_hide_what_the_checks_would_find_nor_bring_false_ones() -> None:
    """Ten of all kinds: each is told once, and nothing that only follows from another."""
    raw = changed(
        name=3,
        zzz=1,
        windows__cut=...,
        features__recent_items="many",
        features__category=7,
        features__user_categorical=["age", "income"],
        features__item_numeric=["price", 3],
        train__ranker="bert",
        source__events__columns__shop="s",
        source__time_shift="later",
    )
    with pytest.raises(ConfigError) as caught:
        parse(raw, "x")
    assert sorted(problem.split(":")[0] for problem in caught.value.problems) == [
        "features.category",
        "features.item_numeric[1]",
        "features.recent_items",
        "features.user_categorical",
        "name",
        "source.events.columns.shop",
        "source.time_shift",
        "train.ranker",
        "windows.cut",
        "zzz",
    ]


@given(st.dictionaries(st.sampled_from([*GOOD, "serve", "other"]), json_values, max_size=4))
def test_any_mapping_is_a_configuration_or_a_config_error(changes: dict[str, Any]) -> None:
    try:
        parse(GOOD | changes, "x")
    except ConfigError as error:
        assert error.problems


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_committed_configuration_loads_and_is_named_as_its_file(path: Path) -> None:
    config = load(path)
    assert isinstance(config, Config) and config.name == path.stem


def test_there_are_the_default_and_a_small_configuration() -> None:
    assert {"completejourney", "smoke"} <= {path.stem for path in CONFIGS}


def test_a_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text("")
    with pytest.raises(ConfigError, match=r"no such file; configurations beside it: .*here\.toml"):
        load(tmp_path / "there.toml")
    with pytest.raises(ConfigError, match="beside it: none"):
        load(tmp_path / "nowhere" / "there.toml")


@pytest.mark.parametrize(
    ("content", "words"), [(b"a = = 1", "is not TOML"), (b"\xff", "is not TOML"), (b"", "is missing")]
)
def test_a_file_that_is_no_configuration_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / "x.toml")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_data_of_its_own_lies_where_the_environment_says() -> None:
    assert data_folder({}) == data_folder({"TRIREME_DATA": ""}) == "data"
    assert data_folder({"TRIREME_DATA": "s3://bucket/x"}) == "s3://bucket/x"


def test_the_stack_s_settings_come_from_the_environment() -> None:
    default = stack_settings({})
    addresses = ("127.0.0.1:20002", "127.0.0.1:20003")
    assert dataclasses.astuple(default) == ("var", 20_000, *addresses, 4, "", "", "", "", 0, "", "auto", "")
    with pytest.raises(ConfigError, match="TRIREME_IMPRESSIONS: expected the path of a socket"):
        stack_settings({"TRIREME_IMPRESSIONS": "/" + "x" * 107})
    with pytest.raises(ConfigError, match="TRIREME_IMPRESSIONS_KEPT: expected a number of records from 0 to"):
        stack_settings({"TRIREME_IMPRESSIONS_KEPT": "-1"})
    with pytest.raises(ConfigError, match="TRIREME_SERVE_BY: expected auto or python, got 'c'"):
        stack_settings({"TRIREME_SERVE_BY": "c"})
    assert (default.port("public"), default.port("collector")) == (20_000, 20_010)
    assert stack_settings({"TRIREME_ROOT": "s3://bucket/x"}).root == "s3://bucket/x"
    assert stack_settings({"TRIREME_ROOT": "", "TRIREME_REDIS": "", "TRIREME_KAFKA": ""}) == default


def test_moving_the_base_moves_every_port_and_an_address_stays_where_it_was_put() -> None:
    moved = stack_settings({"TRIREME_PORT_BASE": "21000", "TRIREME_KAFKA": "broker.example:9092"})
    assert (moved.redis, moved.kafka) == ("127.0.0.1:21002", "broker.example:9092")
    assert {moved.port(part) for part in PORT_OFFSETS} == {21_000 + offset for offset in PORT_OFFSETS.values()}


def test_no_two_parts_share_a_port_and_a_stack_keeps_to_its_forty() -> None:
    assert len({*PORT_OFFSETS.values()}) == len(PORT_OFFSETS)
    assert max(PORT_OFFSETS.values()) < 40


@pytest.mark.parametrize("text", ["", "x", "80", "-1", "65001", "1e4", "²", "20000.0", " 20000"])
def test_a_port_base_that_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="TRIREME_PORT_BASE: expected a port from 1024 to 65000, got"):
        stack_settings({"TRIREME_PORT_BASE": text})


def test_every_wrong_variable_is_named_at_once() -> None:
    wrong = {"TRIREME_REDIS": "localhost", "TRIREME_KAFKA": ":9092", "TRIREME_PARTITIONS": "0"}
    wrong["TRIREME_SCHEMA_REGISTRY"] = "registry:8081"
    with pytest.raises(ConfigError) as caught:
        stack_settings(wrong)
    assert caught.value.problems == (
        "TRIREME_PARTITIONS: expected an integer from 1 to 1024, got '0'",
        "TRIREME_REDIS: expected host:port, got 'localhost'",
        "TRIREME_KAFKA: expected host:port, got ':9092'",
        "TRIREME_SCHEMA_REGISTRY: expected a URL such as http://host:8081, got something else",
    )
