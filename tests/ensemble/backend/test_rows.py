"""Feast's bytes are read by C++ as contracts/online_layout.py reads them."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.features import ValueType
from contracts.online_layout import decode_value, encode_value
from ensemble.native import Core, RefusedError

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
