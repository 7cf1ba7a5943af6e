"""Sources, quality rules and context: what their types cannot say is said by setting, with what was expected."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.config import parse
from contracts.errors import ConfigError
from tests.contracts.settings import changed

#: name: (changes, the problem's beginning, words that it must have)
PROBLEMS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "no way to write": ({"source__items__format": "xls"}, "source.items.format: expected one of", ("'xls'",)),
    "two separators": ({"source__items__separator": "||"}, "source.items.separator: expected one ASCII", ("'||'",)),
    "an encoding of two bytes": (
        {"source__users__encoding": "utf-16"},
        "source.users.encoding: expected an encoding in which ASCII stays",
        ("'utf-16'", "convert"),
    ),
    "an encoding of nobody's": ({"source__users__encoding": "x"}, "source.users.encoding: expected", ("'x'",)),
    "line breaks without quotes": (
        {"source__events__quote": "", "source__events__quoted_newlines": True},
        "source.events.quoted_newlines: expected a quote",
        (),
    ),
    "a name twice": ({"source__events__header": ["a", "a"]}, "source.events.header: expected each name once", ()),
    "a unit of nobody's": (
        {"source__events__time_unit": "min"},
        "source.events.time_unit: expected one of",
        ("'min'",),
    ),
    "no log": ({"source__events__url": ""}, "source.events.url: expected the files of the log", ()),
    "a word for a type that is none": (
        {
            "source__events__event_types": {"buy": "bought"},
            "source__events__columns__event_type": "kind",
        },
        "source.events.event_types.buy: expected one of",
        ("'bought'",),
    ),
    "words without a column": (
        {"source__events__event_types": {"buy": "purchase"}},
        "source.events.event_types: maps the values of a column",
        ("no event_type",),
    ),
    "ratings without a value": (
        {"source__events__event_type": "rating"},
        "source.events.columns.value: is missing; an event of type 'rating' needs it",
        (),
    ),
    "a rule for no field": (
        {"quality__allowed": {"regin": ["n"]}},
        "quality.allowed.regin: is not a field",
        ("region",),
    ),
    "no allowed value": ({"quality__allowed": {"region": []}}, "quality.allowed.region: expected at least one", ()),
    "an allowed type that is none": (
        {"quality__allowed": {"event_type": ["veiw"]}},
        "quality.allowed.event_type: 'veiw' is no event type",
        ("did you mean 'view'?",),
    ),
    "a range of text": ({"quality__ranges": {"region": [1, 2]}}, "quality.ranges.region: is string, not a number", ()),
    "a range upside down": (
        {"quality__ranges": {"value": [5, 1]}},
        "quality.ranges.value: expected [least, gr",
        ("5",),
    ),
    "half a range": ({"quality__ranges": {"value": [5]}}, "quality.ranges.value: expected [least, greatest]", ()),
    "a range of NaN": ({"quality__ranges": {"value": [float("nan"), 1]}}, "quality.ranges.value: expected [least", ()),
    "fields for no type": ({"quality__required": {"buy": ["value"]}}, "quality.required.buy: is no event type", ()),
    "no field for a type": (
        {"quality__required": {"purchase": ["price"]}},
        "quality.required.purchase: 'price' is not a field of an event",
        (),
    ),
    "a reference to nothing": (
        {"quality__references": ["session_id"]},
        "quality.references: expected 'item_id' or 'user_id'",
        ("'session_id'",),
    ),
    "a reference to no table": (
        {"quality__references": ["user_id"], "source__users__url": ""},
        "quality.references: 'user_id' must be in source.users, which has no url",
        (),
    ),
    "a share of nulls beyond one": (
        {"quality__hold_null_shift": 2},
        "quality.hold_null_shift: expected a share",
        ("2",),
    ),
    "a day held for any row": (
        {"quality__hold_volume_ratio": 1},
        "quality.hold_volume_ratio: expected how many",
        ("1",),
    ),
    "a context without a start": (
        {"source__context": {"url": "p.parquet", "columns": {"item_id": "i", "period": "w"}}},
        "source.context.first_start: expected the date",
        ("period 1",),
    ),
    "a context of no time zone": (
        {
            "source__context": {
                "url": "p.parquet",
                "columns": {"item_id": "i", "period": "w"},
                "first_start": "2020-01-06",
                "timezone": "Atlantis",
            }
        },
        "source.context.timezone: expected a name such as",
        ("'Atlantis'",),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_wrong_setting_is_named_with_what_was_expected_and_what_came(name: str) -> None:
    changes, beginning, words = PROBLEMS[name]
    with pytest.raises(ConfigError) as caught:
        parse(changed(**changes), "shop.toml")
    assert len(caught.value.problems) == 1, caught.value.problems
    (problem,) = caught.value.problems
    assert problem.startswith(beginning)
    assert not [word for word in words if word not in problem], problem


def test_every_rule_that_the_quality_settings_know_may_be_said() -> None:
    quality = {
        "allowed": {"region": ["north"], "event_type": ["purchase"]},
        "ranges": {"value": [0, float("inf")], "quantity": [1, 9]},
        "required": {"purchase": ["value"]},
        "references": ["item_id", "user_id"],
        "max_disorder_hours": 0,
    }
    held = parse(changed(quality=quality), "x").quality
    assert held.ranges == {"value": (0.0, float("inf")), "quantity": (1.0, 9.0)}
    assert held.required == {"purchase": ("value",)} and held.allowed["region"] == ("north",)
