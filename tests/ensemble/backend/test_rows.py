"""Feast's bytes are read by C++ as contracts/online_layout.py reads them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts import folds
from contracts.features import ValueType, feature_views
from contracts.merging import merge
from contracts.online_layout import decode_value, encode_value
from ensemble.native import Core, RefusedError
from tests import strategies
from tests.ensemble.made_up import config

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(
    st.tuples(st.just(ValueType.STRING), TEXTS),
    st.tuples(st.just(ValueType.INT64), INTEGERS),
    st.tuples(st.just(ValueType.STRING_LIST), st.lists(TEXTS, max_size=12)),
    st.tuples(st.just(ValueType.INT64_LIST), st.lists(INTEGERS, max_size=12)),
    st.tuples(st.just(ValueType.DOUBLE_LIST), st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=12)),
)


@MANY
@given(VALUES)
@example((ValueType.STRING_LIST, [f"item-{i}" for i in range(500)]))
def test_what_was_written_is_read(core: Core, value: tuple[ValueType, object]) -> None:
    kind, held = value
    data = encode_value(kind, held)
    assert core("decode", kind=kind.value, bytes=data.decode("latin-1")) == held == decode_value(kind, data)


@MANY
@given(VALUES, st.randoms(use_true_random=False), st.sampled_from(["damage", "cut", "grow", "other kind"]))
def test_damaged_bytes_are_refused_or_read_alike(
    core: Core, value: tuple[ValueType, object], chance: random.Random, how: str
) -> None:
    kind, held = value
    data = bytearray(encode_value(kind, held))
    if how == "damage":
        data[chance.randrange(len(data))] = chance.randrange(256)
    elif how == "cut":
        del data[chance.randrange(1, len(data) + 1) :]
    elif how == "grow":
        data += chance.randbytes(chance.randrange(1, 20))
    else:
        kind = chance.choice(list(ValueType))
    try:
        by_core = core("decode", kind=kind.value, bytes=bytes(data).decode("latin-1"))
    except RefusedError as error:
        assert "expected Feast's bytes of a" in str(error)
        return
    # A NaN is no JSON: null to the pipe.
    expected = decode_value(kind, bytes(data))
    if kind is ValueType.DOUBLE_LIST:
        by_core, expected = np.array(by_core, float), np.array(expected)
        expected[~np.isfinite(expected)] = np.nan
        assert np.array_equal(by_core, expected, equal_nan=True)
    else:
        assert by_core == expected


SETTINGS = config().features
NOBODY = {name: value for view in feature_views(SETTINGS) for name, value in view.empty_row().items()}
PROFILES = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(["", "a", "b"]) for name in (*SETTINGS.user_categorical, "home_region")},
        "seen_item_ids": st.lists(st.sampled_from("abcdefgh"), max_size=6),
    }
)


@MANY
@given(st.lists(st.tuples(strategies.folded_events(max_size=40), PROFILES), min_size=2, max_size=2))
def test_two_rows_of_one_person_become_the_same_one(serving: Core, persons: list[tuple[list, dict]]) -> None:
    rows = [{**NOBODY, **profile, **folds.row(folds.fold(log, SETTINGS), SETTINGS)} for log, profile in persons]
    user, anonymous = (json.dumps({"row": row, "as_of": 0}) for row in rows)
    found, expected = serving("merge", user=user, anonymous=anonymous), merge(*rows, SETTINGS)
    for name, value in expected.items():
        if name.startswith("category_counts_"):
            assert np.allclose(found.pop(name), value, rtol=1e-12, atol=0)
        else:
            assert found.pop(name) == value, name
    assert not found


def test_rows_that_do_not_fit_are_refused(serving: Core) -> None:
    whole = json.dumps({"row": NOBODY, "as_of": 0})
    for damage in ({"recent_event_times": [1]}, {"count_categories": ["wine"]}):
        with pytest.raises(RefusedError, match="in a row"):
            serving("merge", user=json.dumps({"row": {**NOBODY, **damage}, "as_of": 0}), anonymous=whole)
