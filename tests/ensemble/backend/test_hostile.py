"""Whatever a row or a request holds, the C++ core answers or refuses: it never dies, under the sanitizers' eyes.

A segfault of the backend would be the whole server's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.features import Feature, ValueType, feature_views
from contracts.requests import Source
from ensemble.native import Core, RefusedError
from tests.ensemble.made_up import ITEMS, config

MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INTEGERS = st.sampled_from([0, 1, -1, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
NAMES = st.sampled_from(["", "item-1", "dep-0", "dep-3", "item-239", "age-1", "region-1"]) | st.text(max_size=4)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BY_KIND: Mapping[ValueType, st.SearchStrategy[Any]] = {
    ValueType.STRING: NAMES,
    ValueType.INT64: INTEGERS,
    ValueType.STRING_LIST: st.lists(NAMES, max_size=70) | st.just([f"item-{i}" for i in range(ITEMS)]),
    ValueType.INT64_LIST: st.lists(INTEGERS, max_size=70),
    ValueType.DOUBLE_LIST: st.lists(NUMBERS, max_size=8),
}
FEATURES = [feature for view in feature_views(config().features) for feature in view.features]
JSON = st.recursive(st.none() | st.booleans() | INTEGERS | NUMBERS | NAMES, lambda inner: st.lists(inner, max_size=3))


def likely(feature: Feature) -> st.SearchStrategy[Any]:
    return st.none() | BY_KIND[feature.kind]


ROWS = st.fixed_dictionaries({feature.name: likely(feature) for feature in FEATURES})
REQUESTS = st.fixed_dictionaries(
    {
        "user_id": st.just("user-1"),
        "k": st.sampled_from([1, 20, 100]),
        "exclude_ids": st.lists(NAMES.filter(lambda name: name and name.isprintable()), max_size=9),
    }
)


def lists_fit(row: dict[str, Any]) -> dict[str, Any]:
    """So that some rows pass the first checks."""
    names = row["count_categories"] or []
    counts = {name: [float(i) for i in range(len(names))] for name in row if name.startswith("category_counts_")}
    return {**row, "recent_event_times": [10**12] * len(row["recent_item_ids"] or []), **counts}


@MANY
@given(st.lists(st.tuples(REQUESTS, ROWS | ROWS.map(lists_fit), INTEGERS), min_size=1, max_size=4))
def test_any_row_of_the_right_kinds_is_answered(serving: Core, asked: list[tuple[dict, dict, int]]) -> None:
    answers = serving.answer(*((json.dumps(x).encode(), {"row": row, "as_of": as_of}) for x, row, as_of in asked))
    for answer, (request, _, _) in zip(answers, asked):
        assert len(answer["item_ids"]) == len(set(answer["item_ids"])) == request["k"]
        assert all(isinstance(score, float | int) and math.isfinite(score) for score in answer["scores"])
        assert set(answer["sources"]) <= {Source.PERSONAL, Source.SIMILAR, Source.TRENDING}
        assert not set(answer["item_ids"]) & set(request["exclude_ids"])


@MANY
@given(st.dictionaries(st.sampled_from([x.name for x in FEATURES]) | NAMES, JSON), JSON)
def test_any_other_row_is_refused(serving: Core, row: dict[str, Any], as_of: object) -> None:
    try:
        serving.answer((b'{"user_id":"user-1"}', {"row": row, "as_of": as_of}))
    except RefusedError as refused:
        assert str(refused).startswith("golden_row: ")
