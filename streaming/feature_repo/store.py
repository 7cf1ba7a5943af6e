"""Feast's registry and its batch way into the online store, opened on the stack's own folder.

``feature_store.yaml`` is written there too, so that ``FeatureStore(repo_path=…/feast)`` works in anyone's notebook.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import redis
import yaml

from contracts import features, online_layout
from contracts.artifacts import Zones, read_manifest
from contracts.config import Config
from contracts.errors import ArtifactError, StackError
from streaming.settings import StreamSettings

os.environ.setdefault("FEAST_USAGE", "False")
#: The layout of ``contracts.online_layout``; Feast warns that it will go one day, and is pinned.
ENTITY_KEY_VERSION = 2


def repository(zones: Zones) -> Path:
    """The folder of registry and feature_store.yaml, beside the data set's zones (on this machine)."""
    filesystem, path = fsspec.core.url_to_fs(f"{zones.root}/feast")
    if "file" not in filesystem.protocol:
        raise StackError(f"expected a local data root for Feast's registry, got {zones.root}")
    return Path(path)


def open_store(settings: StreamSettings, zones: Zones) -> Any:
    """Feast's ``FeatureStore`` on this stack; its ``feature_store.yaml`` is written first."""
    with warnings.catch_warnings():
        # Feast 0.49 announces the end of key version 2 and of names that it imports itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        from feast import FeatureStore

        folder = repository(zones)
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "project": online_layout.PROJECT,
            "provider": "local",
            "registry": str(folder / "registry.db"),
            "online_store": {"type": "redis", "connection_string": settings.redis},
            "offline_store": {"type": "dask"},
            "entity_key_serialization_version": ENTITY_KEY_VERSION,
        }
        (folder / "feature_store.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return FeatureStore(repo_path=str(folder))


def apply(settings: StreamSettings, config: Config, zones: Zones) -> dict[str, Any]:
    """Register entities, views and the service; views that are gone from the contracts are removed."""
    store = open_store(settings, zones)
    from feast import FeatureService, FeatureView

    from streaming.feature_repo.definitions import feast_objects

    objects = feast_objects(config.features, zones)
    names = {thing.name for thing in objects}
    held = [*store.list_feature_services(), *store.list_feature_views()]
    with _quiet():
        store.apply(objects, objects_to_delete=[x for x in held if x.name not in names], partial=False)
    return {
        "views": [x.name for x in objects if isinstance(x, FeatureView)],
        "services": [x.name for x in objects if isinstance(x, FeatureService)],
        "registry": str(repository(zones) / "registry.db"),
    }


def materialize(settings: StreamSettings, config: Config, zones: Zones) -> dict[str, Any]:
    """Write the batch view's rows of ``features/user_profile.parquet`` to the online store; the stream view's stay.

    Feast passes over rows that are not newer than what it wrote before, even when they are different (a changed
    setting, the same log). So the batch view's times are taken away first; readers do not use them.
    """
    read_manifest(zones.features)
    view = features.user_profile(config.features)
    filesystem, path = fsspec.core.url_to_fs(f"{zones.features}/{view.name}.parquet")
    if not filesystem.exists(path):
        raise ArtifactError(f"{zones.features}/{view.name}.parquet is not there: run `python -m etl run` first")
    users = pq.read_table(path, columns=[view.entity], filesystem=filesystem)[view.entity].to_pylist()
    _forget_times(settings, view, users)
    store = open_store(settings, zones)
    end = datetime.now(timezone.utc) + timedelta(days=1)
    with _quiet():
        store.materialize(datetime(1970, 1, 2, tzinfo=timezone.utc), end, feature_views=[view.qualified_name])
    return {"view": view.qualified_name, "rows": len(users)}


def _forget_times(settings: StreamSettings, view: features.FeatureView, users: list[str]) -> None:
    host, port = settings.redis_address
    client: Any = redis.Redis(host, port, socket_timeout=30)
    try:
        with client, client.pipeline(transaction=False) as pipe:
            for user in users:
                key = online_layout.row_key(online_layout.PROJECT, view.entity, user)
                pipe.hdel(key, online_layout.timestamp_field(view.qualified_name))
            pipe.execute()
    except redis.RedisError as error:
        raise StackError(f"the online store at {settings.redis} does not answer: {error}; is it up?") from error


@contextlib.contextmanager
def _quiet() -> Any:
    """Feast reports on standard output, which belongs to our one JSON line."""
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas and Dask inside Feast; ours are errors in the tests
        yield
