"""What the types of a configuration cannot say: dates in order, columns that there are, numbers in range."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from contracts import request_context
from contracts.config_reading import Finding, lines
from contracts.gate import AGAINST_CURRENT
from contracts.source_checks import quality_checks, source_checks

if TYPE_CHECKING:
    from contracts.config import Config

#: Names that rows have anyway (docs/artifacts.md).
_RESERVED = frozenset({"row_id", "user_id", "item_id", "item_code", "as_of", "region", "home_region", "seen_item_ids"})

#: Settings that may be 0: off, or none.
_MAY_BE_ZERO = frozenset(
    {
        "seed",
        "lateness_hours",
        "id_dropout",
        "item_id_dropout",
        "sampled_negatives",
        "sampled_power",
        "horizon_days",
        "update_replay",
        "update_max_forgetting",
        "two_tower_candidates",
        "similar_candidates",
        "als_candidates",
        "als_factors",
        "item_item_regularization_power",
        "user_user_candidates",
        "user_user_users",
        "history_half_items",
        "ranker_l2",
        "covisit_candidates",
        "session_candidates",
        "session_weight",
        "similar_item_item",
        "similar_two_tower",
        "similar_covisits",
        "min_ratio",
        "max_loss",
        "max_slice_loss",
        "min_cold_start_rise",
        "max_cold_start_loss",
        "max_disorder_hours",
        "next_events",
    }
)


#: Settings of [train] that are one of a few words.
WORDS = {
    "query_encoder": ("pooling", "attention"),
    "ranker": ("dcn", "dlrm", "mmoe", "trees"),
    "ranker_loss": ("binary", "listwise"),
    "second_task": ("", "value", "dwell"),
    "mixed_precision": ("auto", "off", "mixed_float16", "mixed_bfloat16"),
}

#: Settings that are a part of one.
_SHARES = (
    "train.id_dropout",
    "train.item_id_dropout",
    "train.update_max_forgetting",
    "quality.hold_null_shift",
    "gate.max_calibration_error",
)

#: Lists of features -> the source table whose columns they name.
_FEATURES = {"user_categorical": "users", "item_categorical": "items", "item_numeric": "items"}


def cross_checks(config: Config, faulty: Iterable[str] = ()) -> list[str]:
    """Every problem of a configuration, a line each, but for what rests on ``faulty`` settings (empty, or defaults)."""
    findings = [
        *_single_checks(config),
        *source_checks(config.source),
        *quality_checks(config),
        *_column_checks(config),
        *_range_checks(config),
    ]
    return lines(findings, faulty)


def _single_checks(config: Config) -> Iterator[Finding]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", config.name):
        yield Finding("name", f"expected letters, digits, - and _ (it names a folder), got {config.name!r}")
    borders = dataclasses.asdict(config.windows)
    del borders["next_events"]
    held = {name: day for name, day in borders.items() if day or name != "test_end"}
    also = tuple(f"windows.{field.name}" for field in dataclasses.fields(config.windows))
    try:
        dates = [date.fromisoformat(day) for day in held.values()]
        if sorted(set(dates)) != dates:
            yield Finding("windows", f"expected {' < '.join(held)}, got {tuple(held.values())}", also)
    except ValueError as error:
        yield Finding("windows", f"expected dates as YYYY-MM-DD: {error}", also)
    if config.windows.next_events and config.train.horizon_days:
        text = "windows.next_events asks for the next interaction, a horizon for all of many days; set one of them to 0"
        yield Finding("train.horizon_days", text, ("windows.next_events",))
    if config.source.time_shift not in ("none", "end_at_now"):
        yield Finding("source.time_shift", f"expected 'none' or 'end_at_now', got {config.source.time_shift!r}")
    for name, words in WORDS.items():
        held = getattr(config.train, name)
        if held not in words:
            yield Finding(f"train.{name}", f"expected {' or '.join(map(repr, words))}, got {held!r}")
    if config.gate.against_current not in AGAINST_CURRENT:
        text = f"expected one of {', '.join(map(repr, AGAINST_CURRENT))}, got {config.gate.against_current!r}"
        yield Finding("gate.against_current", text)
    for wanted, source in (("als_candidates", "als_factors"), ("user_user_candidates", "user_user_users")):
        if getattr(config.serve, wanted) and not getattr(config.train, source):
            text = f"expected train.{source} of more than 0 where candidates are asked of this source"
            yield Finding(f"serve.{wanted}", text, (f"train.{source}",))
    categorical = ("user_categorical", "item_categorical", "context")
    if config.train.ranker == "dlrm" and not any(getattr(config.features, listed) for listed in categorical):
        also = tuple(f"features.{listed}" for listed in categorical)
        yield Finding("train.ranker", "'dlrm' needs a categorical feature, and there is none; take another", also)
    if config.train.ranker == "trees" and config.train.second_task:
        text = "'trees' learn one task; take another ranker, or no second task"
        yield Finding("train.ranker", text, ("train.second_task",))


def _column_checks(config: Config) -> Iterator[Finding]:
    """Whether the features name columns that there are, each once."""
    features = config.features
    everywhere = tuple(f"features.{listed}" for listed in _FEATURES)
    static: list[str] = []
    for listed, table in _FEATURES.items():
        names, columns = getattr(features, listed), getattr(config.source, table).columns
        static += names
        for name in names:
            if name not in columns:
                text = f"{name!r} is not in source.{table}.columns ({', '.join(columns)})"
                yield Finding(f"features.{listed}", text, (f"source.{table}.columns",))
    for name, count in Counter([*static, *features.context]).items():
        if count > 1:
            text = f"{name!r} is listed {count} times; user, item and context columns share one table of encodings"
            yield Finding("features", text, (*everywhere, "features.context"))
    for name in sorted(_RESERVED & {*static}):
        yield Finding("features", f"{name!r} is a name of Trireme's own; give the column another", everywhere)
    for name in features.context:
        if name not in request_context.COLUMNS:
            known = ", ".join(map(repr, request_context.COLUMNS))
            yield Finding("features.context", f"expected some of {known}, got {name!r}")
    events = config.source.events.columns
    if "region" in features.context and "region" not in events:
        text = f"'region' is not in source.events.columns ({', '.join(events)})"
        yield Finding("features.context", text, ("source.events.columns",))
    try:
        ZoneInfo(features.timezone)
    except (KeyError, ValueError, OSError):
        yield Finding("features.timezone", f"expected a name such as 'Europe/Paris', got {features.timezone!r}")
    for rule in ("never", "only"):
        for name, listed in getattr(config.serve, rule).items():
            if name not in features.item_categorical:
                text = f"expected columns of features.item_categorical, got {name!r}"
                yield Finding(f"serve.{rule}", text, ("features.item_categorical",))
            if not listed:
                yield Finding(f"serve.{rule}.{name}", "expected at least one value, got an empty list")
    if features.category and features.category not in features.item_categorical:
        text = f"expected one of features.item_categorical, or '' for none, got {features.category!r}"
        yield Finding("features.category", text, ("features.item_categorical",))


def _range_checks(config: Config) -> Iterator[Finding]:
    """Whether every number is one that can be worked with."""
    for table in ("features", "windows", "train", "serve", "quality", "gate"):
        for name, held in dataclasses.asdict(getattr(config, table)).items():
            numbers = held if isinstance(held, tuple) else (held,)
            numbers = [x for x in numbers if isinstance(x, (int, float)) and not isinstance(x, bool)]
            low = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
            for x in numbers:
                if not 0 <= x < math.inf or (x == 0 and name not in _MAY_BE_ZERO):
                    yield Finding(f"{table}.{name}", f"expected a number, {low}, got {x}")
            if isinstance(held, tuple) and numbers and len({*numbers}) != len(numbers):
                yield Finding(f"{table}.{name}", f"expected each number once, got {numbers}")
    for share in _SHARES:
        table, name = share.split(".")
        held = getattr(getattr(config, table), name)
        if held > 1:
            yield Finding(share, f"expected a share from 0 to 1, got {held}")
    minutes = config.features.bucket_minutes
    if minutes > 0 and 1440 % minutes:
        yield Finding("features.bucket_minutes", f"expected minutes that divide a day of 1440, got {minutes}")
    for name in ("count_half_lives_hours", "popularity_half_lives_hours"):
        if not getattr(config.features, name):
            yield Finding(f"features.{name}", "expected at least one half-life, got an empty list")
