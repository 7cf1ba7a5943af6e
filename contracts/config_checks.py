"""What the types of a configuration cannot say: dates in order, columns that there are, numbers in range."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING

from contracts.events import FIELD_BY_NAME, EventType

if TYPE_CHECKING:
    from contracts.config import Config, Source

#: Names that rows have anyway (docs/artifacts.md).
_RESERVED = frozenset({"row_id", "user_id", "item_id", "item_code", "as_of", "region", "home_region", "seen_item_ids"})

#: Settings that may be 0: off, or none.
_MAY_BE_ZERO = frozenset(
    {
        "seed",
        "lateness_hours",
        "id_dropout",
        "two_tower_candidates",
        "similar_candidates",
        "similar_weight",
        "session_candidates",
        "session_weight",
        "gate_min_ratio",
    }
)


#: Settings that are a part of one.
_SHARES = ("train.id_dropout", "serve.similar_weight")


def cross_checks(config: Config) -> list[str]:
    """Every problem of a configuration whose types are right, a line each."""
    problems: list[str] = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", config.name):
        problems.append(f"name: expected letters, digits, - and _ (it names a folder), got {config.name!r}")
    try:
        dates = [date.fromisoformat(day) for day in dataclasses.astuple(config.windows)]
        if sorted(set(dates)) != dates:
            problems.append(
                f"windows: expected retrieval_end < ranker_end < cut, got {dataclasses.astuple(config.windows)}"
            )
    except ValueError as error:
        problems.append(f"windows: expected dates as YYYY-MM-DD: {error}")
    if config.source.time_shift not in ("none", "end_at_now"):
        problems.append(f"source.time_shift: expected 'none' or 'end_at_now', got {config.source.time_shift!r}")
    if config.train.ranker not in ("dcn", "dlrm"):
        problems.append(f"train.ranker: expected 'dcn' or 'dlrm', got {config.train.ranker!r}")
    return problems + _source_checks(config.source) + _column_checks(config) + _range_checks(config)


def _source_checks(source: Source) -> list[str]:
    """Whether the source's columns are mapped to ours, and to nothing unknown."""
    problems: list[str] = []
    kinds = [kind.value for kind in EventType]
    if source.events.event_type not in kinds:
        problems.append(f"source.events.event_type: expected one of {kinds}, got {source.events.event_type!r}")
    problems += [
        f"source.events.columns.{ours}: is not a field of an event; known: {', '.join(FIELD_BY_NAME)}"
        for ours in source.events.columns
        if ours not in FIELD_BY_NAME
    ]
    for where, columns, needed in (
        ("events", source.events.columns, ("user_id", "item_id", "event_time")),
        ("items", source.items.columns, ("item_id",) if source.items.columns else ()),
        ("users", source.users.columns, ("user_id",) if source.users.columns else ()),
    ):
        problems += [
            f"source.{where}.columns.{ours}: is missing; say which column of the table holds it"
            for ours in needed
            if ours not in columns
        ]
    return problems


def _column_checks(config: Config) -> list[str]:
    """Whether the features name columns that there are, each once."""
    features = config.features
    problems: list[str] = []
    for table, names in (
        ("users", features.user_categorical),
        ("items", (*features.item_categorical, *features.item_numeric)),
    ):
        columns = getattr(config.source, table).columns
        problems += [
            f"features: {name!r} is not in source.{table}.columns ({', '.join(columns)})"
            for name in names
            if name not in columns
        ]
    static = (*features.user_categorical, *features.item_categorical, *features.item_numeric)
    problems += [
        f"features: {name!r} is listed {count} times; user and item columns share one table of encodings"
        for name, count in Counter(static).items()
        if count > 1
    ]
    problems += [
        f"features: {name!r} is a name of Trireme's own; give the column another"
        for name in sorted(_RESERVED & {*static})
    ]
    if features.category not in features.item_categorical:
        problems.append(f"features.category: expected one of features.item_categorical, got {features.category!r}")
    return problems


def _range_checks(config: Config) -> list[str]:
    """Whether every number is one that can be worked with."""
    problems: list[str] = []
    for table in ("features", "train", "serve"):
        for name, held in dataclasses.asdict(getattr(config, table)).items():
            numbers = held if isinstance(held, tuple) else (held,)
            numbers = [x for x in numbers if isinstance(x, (int, float)) and not isinstance(x, bool)]
            low = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
            problems += [
                f"{table}.{name}: expected a number, {low}, got {x}"
                for x in numbers
                if not 0 <= x < math.inf or (x == 0 and name not in _MAY_BE_ZERO)
            ]
            if isinstance(held, tuple) and numbers and len({*numbers}) != len(numbers):
                problems.append(f"{table}.{name}: expected each number once, got {numbers}")
    for share in _SHARES:
        table, name = share.split(".")
        held = getattr(getattr(config, table), name)
        if held > 1:
            problems.append(f"{share}: expected a share from 0 to 1, got {held}")
    for name in ("count_half_lives_hours", "popularity_half_lives_days"):
        if not getattr(config.features, name):
            problems.append(f"features.{name}: expected at least one half-life, got an empty list")
    return problems
