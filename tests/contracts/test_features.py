"""The table of features: one name, one home, and defaults that the store can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from contracts import features
from contracts.config import FeatureSettings, load
from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY, PAD, ValueType
from tests import strategies

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(ROOT.glob("configs/*.toml"))
DEFAULTS = {
    ValueType.STRING: "",
    ValueType.INT64: 0,
    ValueType.STRING_LIST: (),
    ValueType.INT64_LIST: (),
    ValueType.DOUBLE_LIST: (),
}


def assert_well_formed(settings: FeatureSettings) -> None:
    views = features.feature_views(settings)
    names = [feature.name for view in views for feature in view.features]
    assert len({*names}) == len(names), "a name lives in one view, so that stream and batch never write the same value"
    assert len({view.qualified_name for view in views}) == len(views)
    for view in views:
        assert {"user_id"}.isdisjoint(view.empty_row()), "the entity is the key, not a value"
        for feature in view.features:
            assert feature.default == DEFAULTS[feature.kind], feature.name
            assert feature.doc
    for columns in (
        features.query_columns(settings),
        features.ranker_categorical(settings),
        features.ranker_continuous(settings),
    ):
        assert len({*columns}) == len(columns), columns


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_views_of_every_configuration_are_well_formed(path: Path) -> None:
    assert_well_formed(load(path).features)


@given(strategies.settings)
def test_the_views_of_any_settings_are_well_formed(settings: FeatureSettings) -> None:
    assert_well_formed(settings)


def test_the_stream_writes_behaviour_and_the_batch_writes_the_profile() -> None:
    stream, batch = features.feature_views(load(CONFIGS[0]).features)
    assert (stream.name, stream.stream) == ("user_behaviour", True)
    assert (batch.name, batch.stream) == ("user_profile", False)
    assert stream.qualified_name == "user_behaviour_v2"


def test_a_new_user_column_is_a_line_in_the_configuration() -> None:
    before = FeatureSettings(("age",), ("department",), (), "department")
    after = FeatureSettings(("age", "income"), ("department",), ("price",), "department")
    added = {*features.user_profile(after).empty_row()} - {*features.user_profile(before).empty_row()}
    assert added == {"income"}
    assert features.query_columns(after) == ("user_id", "age", "income")
    assert features.ranker_categorical(after) == ("age", "income", "department")
    assert features.ranker_continuous(after)[-1] == "price"


def test_every_half_life_has_its_counts_in_store_and_its_share_at_the_ranker() -> None:
    settings = FeatureSettings((), ("department",), (), "department", count_half_lives_hours=(2, 48))
    row = features.user_behaviour(settings).empty_row()
    assert [name for name in row if name.startswith("category_counts")] == [features.count_column(h) for h in (2, 48)]
    continuous = features.ranker_continuous(settings)
    assert {"category_share_2h", "category_share_48h"} <= {*continuous}


def test_the_codes_below_the_first_value_are_the_three_that_mean_no_value() -> None:
    assert sorted((PAD, NULL, OUT_OF_VOCABULARY)) == list(range(FIRST_VALUE))
