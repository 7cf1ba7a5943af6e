"""Feast's registry and its batch way into the online store, opened on the stack's own folder.

``feature_store.yaml`` is written there too, so that ``FeatureStore(repo_path=…/feast)`` works in anyone's notebook.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import redis
import yaml

from contracts import features, online_layout
from contracts.artifacts import Zones, drop_manifest, fingerprint, is_current, read_manifest, write_manifest
from contracts.config import Config
from contracts.errors import ArtifactError, StackError
from streaming.settings import StreamSettings

os.environ.setdefault("FEAST_USAGE", "False")
#: The layout of ``contracts.online_layout``; Feast warns that it will go one day, and is pinned.
ENTITY_KEY_VERSION = 2
_BEFORE_ALL = datetime(1970, 1, 2, tzinfo=timezone.utc)


def repository(zones: Zones) -> Path:
    """The folder of registry and feature_store.yaml, beside the data set's zones (on this machine)."""
    filesystem, path = fsspec.core.url_to_fs(f"{zones.root}/feast")
    if "file" not in filesystem.protocol:
        raise StackError(f"expected a local data root for Feast's registry, got {zones.root}")
    return Path(path)


def open_store(settings: StreamSettings, zones: Zones) -> Any:
    """Feast's ``FeatureStore`` on this stack; its ``feature_store.yaml`` is written first."""
    from feast import FeatureStore  # seconds of imports, which a command that finds all current does not need

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that key version 2 will go one day; Feast is pinned
        return FeatureStore(repo_path=str(folder))


def apply(settings: StreamSettings, config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Register entities, views and the service; views that are gone from the contracts are removed."""
    views = features.feature_views(config.features)
    facts = {"views": [view.qualified_name for view in views], "registry": str(repository(zones) / "registry.db")}
    current = fingerprint(*views, zones.root, settings.redis, _code())
    if not force and is_current(str(repository(zones)), current):
        return {"applied": False, **facts}
    from streaming.feature_repo.definitions import feast_objects

    drop_manifest(str(repository(zones)))
    objects = feast_objects(config.features, zones)
    names = {thing.name for thing in objects}
    with _quiet():
        store = open_store(settings, zones)
        held = [*store.list_feature_services(), *store.list_feature_views()]
        store.apply(objects, objects_to_delete=[x for x in held if x.name not in names], partial=False)
    write_manifest(str(repository(zones)), current)
    return {"applied": True, **facts}


def materialize(settings: StreamSettings, config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Write the batch view's rows of ``features/user_profile.parquet`` to the online store; the stream view's stay.

    The views are applied first where that is due (in one process, as importing Feast takes seconds). Feast passes
    over rows that are not newer than what it wrote before, even when they are different (a changed setting, the same
    log). So the batch view's times are taken away first; readers do not use them.

    Raises:
        ArtifactError: when the features are not there.
        StackError: when the online store does not answer.
    """
    view = features.user_profile(config.features)
    current = fingerprint(read_manifest(zones.features)["fingerprint"], view, _code())
    apply(settings, config, zones, force)
    host, port = settings.redis_address
    client: Any = redis.Redis(host, port, socket_timeout=30)
    try:
        with client:
            mark = f"trireme:materialized:{view.qualified_name}"
            if not force and client.get(mark) == current.encode():
                return {"materialized": False, "view": view.qualified_name, "reason": "the online store is current"}
            client.delete(mark)
            rows = _forget_times(client, view, zones)
            with _quiet():
                store = open_store(settings, zones)
                end = datetime.now(timezone.utc) + timedelta(days=1)
                store.materialize(_BEFORE_ALL, end, feature_views=[view.qualified_name])
            client.set(mark, current)
    except redis.RedisError as error:
        raise StackError(f"the online store at {settings.redis} does not answer: {error}; is it up?") from error
    return {"materialized": True, "view": view.qualified_name, "rows": rows}


def _forget_times(client: Any, view: features.FeatureView, zones: Zones) -> int:
    filesystem, path = fsspec.core.url_to_fs(f"{zones.features}/{view.name}.parquet")
    if not filesystem.exists(path):
        raise ArtifactError(f"{zones.features}/{view.name}.parquet is not there: run `python -m etl run` first")
    users = pq.read_table(path, columns=[view.entity], filesystem=filesystem)[view.entity].to_pylist()
    with client.pipeline(transaction=False) as pipe:
        for user in users:
            key = online_layout.row_key(online_layout.PROJECT, view.entity, user)
            pipe.hdel(key, online_layout.timestamp_field(view.qualified_name))
        pipe.execute()
    return len(users)


def _code() -> str:
    """The version of the definitions: a hash of this package."""
    return fingerprint(*sorted(Path(__file__).parent.glob("*.py")))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Feast reports on standard output, which belongs to our one JSON line."""
    logging.getLogger("feast").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas and Dask inside Feast; ours are errors in the tests
        yield
