"""Feast's SDK and our direct reader and writer see the same rows, down to the bytes in Redis."""

import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import online_layout
from contracts.artifacts import write_manifest
from contracts.features import ValueType, feature_views, user_behaviour, user_profile
from contracts.folds import Interaction, fold, row
from streaming.feature_repo import store as feast_store
from tests.streaming.stack import NOW, Stack, running

pytestmark = [
    pytest.mark.integration,
    # Feast 0.49 uses what pandas, pydantic, Dask and itself announce to change; it is pinned.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

USERS = ("1", "häuser", "1234567890" * 3)
ARROW = {
    ValueType.STRING: pa.string(),
    ValueType.INT64: pa.int64(),
    ValueType.STRING_LIST: pa.list_(pa.string()),
    ValueType.INT64_LIST: pa.list_(pa.int64()),
    ValueType.DOUBLE_LIST: pa.list_(pa.float64()),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Redis that runs; no broker is needed."""
    stack = Stack.at(tmp_path_factory.mktemp("feast"))
    with running(stack.redis):
        yield stack


@pytest.fixture(scope="module")
def profiles(stack):
    """Rows of the batch view, one of them without attributes."""
    view = user_profile(stack.config.features)
    rows = {}
    for number, user in enumerate(USERS):
        rows[user] = {
            feature.name: [f"i{n}" for n in range(700 * number)]
            if feature.kind is ValueType.STRING_LIST
            else (f"{feature.name} ä{number}" if number else None)
            for feature in view.features
        }
    return rows


def write_profiles(stack, rows, when):
    view = user_profile(stack.config.features)
    columns = {"user_id": list(rows), "event_timestamp": [when] * len(rows), "created": [when] * len(rows)}
    arrays = {name: pa.array(values) for name, values in columns.items()}
    for feature in view.features:
        arrays[feature.name] = pa.array([each[feature.name] for each in rows.values()], ARROW[feature.kind])
    Path(stack.zones.features).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), f"{stack.zones.features}/user_profile.parquet")
    write_manifest(stack.zones.features, f"of {rows}")


@pytest.fixture(scope="module")
def feast(stack, profiles):
    """Feast's SDK on the stack; the views are applied and the batch view is written by one command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_profiles(stack, profiles, datetime(2026, 11, 22, 23, 59, tzinfo=timezone.utc))
        assert feast_store.materialize(stack.settings, stack.config, stack.zones)["rows"] == len(USERS)
        from feast import FeatureStore

        return FeatureStore(repo_path=str(feast_store.repository(stack.zones)))


@pytest.fixture(scope="module")
def behaviour(stack):
    """Rows of the stream view, as the processor makes them."""
    settings = stack.config.features
    rows = {}
    for number, user in enumerate(USERS):
        log = [
            Interaction(NOW - n * 400_000, f"e{n}", f"item-{n}", ["", "été", "wine"][n % 3]) for n in range(number * 40)
        ]
        rows[user] = row(fold(log, settings), settings)
    return rows


def direct(stack, view, user):
    with stack.client() as client:
        values = client.hmget(online_layout.row_key("trireme", "user_id", user), online_layout.fields(view))
    return online_layout.decode(view, values)


def write_directly(stack, view, rows):
    with stack.client() as client:
        for user, document in rows.items():
            mapping = online_layout.encode(view, document, document["last_event_time"])
            client.hset(online_layout.row_key("trireme", "user_id", user), mapping=mapping)


def through_sdk(feast, view, users):
    """Rows by user, read with ``get_online_features``."""
    names = [f"{view.qualified_name}:{feature.name}" for feature in view.features]
    answer = feast.get_online_features(names, [{"user_id": user} for user in users]).to_dict()
    return {user: {feature.name: answer[feature.name][i] for feature in view.features} for i, user in enumerate(users)}


def test_what_feast_materialized_is_read_directly(stack, feast, profiles):
    view = user_profile(stack.config.features)
    sdk = through_sdk(feast, view, USERS)
    for user, document in profiles.items():
        assert sdk[user] == document
        expected = {f.name: f.default if document[f.name] is None else document[f.name] for f in view.features}
        assert direct(stack, view, user) == expected


def test_what_we_write_is_read_through_feast(stack, feast, behaviour):
    view = user_behaviour(stack.config.features)
    write_directly(stack, view, behaviour)
    sdk = through_sdk(feast, view, USERS)
    for user, document in behaviour.items():
        assert sdk[user] == document
        assert direct(stack, view, user) == document


def test_both_write_the_same_bytes(stack, feast, behaviour):
    import pandas as pd
    from feast.data_source import PushMode

    from streaming.feature_repo.definitions import push_source

    view = user_behaviour(stack.config.features)
    ours = {}
    with stack.client() as client:
        client.flushall()
        write_directly(stack, view, behaviour)
        ours = {key: client.hgetall(key) for key in client.scan_iter()}
        client.flushall()
        frame = pd.DataFrame([{"user_id": user, **document} for user, document in behaviour.items()])
        times = [document["last_event_time"] // 1000 for document in behaviour.values()]
        frame["event_timestamp"] = frame["created"] = pd.to_datetime(times, unit="s", utc=True)
        feast.push(push_source(view), frame, to=PushMode.ONLINE)
        assert {key: client.hgetall(key) for key in client.scan_iter()} == ours
    assert len(ours) == len(USERS)


def test_materializing_again_replaces_the_batch_view_and_leaves_the_stream_view(stack, feast, profiles, behaviour):
    batch, stream = user_profile(stack.config.features), user_behaviour(stack.config.features)
    write_directly(stack, stream, behaviour)
    changed = {user: {**document, "home_region": "moved"} for user, document in profiles.items()}
    # The same instant: Feast alone would pass over these rows as not newer.
    write_profiles(stack, changed, datetime(2026, 11, 22, 23, 59, tzinfo=timezone.utc))
    done = feast_store.materialize(stack.settings, stack.config, stack.zones)
    assert done["materialized"]
    for user in USERS:
        assert direct(stack, batch, user)["home_region"] == "moved"
        assert direct(stack, stream, user) == behaviour[user]
    assert not feast_store.materialize(stack.settings, stack.config, stack.zones)["materialized"]
    assert not feast_store.apply(stack.settings, stack.config, stack.zones)["applied"]


def test_an_unknown_user_is_nothing_to_feast_and_the_defaults_to_us(stack, feast):
    for view in feature_views(stack.config.features):
        assert set(map(str, through_sdk(feast, view, ["nobody"])["nobody"].values())) <= {"None", "[]"}
        assert direct(stack, view, "nobody") == view.empty_row()


def test_the_registry_says_what_the_contracts_say(stack, feast):
    for view in feature_views(stack.config.features):
        registered = feast.get_feature_view(view.qualified_name)
        assert [field.name for field in registered.features] == [feature.name for feature in view.features]
        assert registered.entities == [view.entity]
        assert registered.ttl == timedelta(seconds=view.ttl_seconds)
    service = feast.get_feature_service("recommendations")
    assert {each.name for each in service.feature_view_projections} == {
        view.qualified_name for view in feature_views(stack.config.features)
    }
