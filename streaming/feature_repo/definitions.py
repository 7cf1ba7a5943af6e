"""Feast's objects, generated from ``contracts.features``: nothing about a feature is said here a second time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource
from feast import ValueType as FeastValueType
from feast.types import Array, Float64, Int64, String

from contracts import features
from contracts.artifacts import Zones
from contracts.config import FeatureSettings
from contracts.features import ValueType

SERVICE = "recommendations"
_DTYPES = {
    ValueType.STRING: String,
    ValueType.INT64: Int64,
    ValueType.STRING_LIST: Array(String),
    ValueType.INT64_LIST: Array(Int64),
    ValueType.DOUBLE_LIST: Array(Float64),
}


def push_source(view: features.FeatureView) -> str:
    """The name under which rows of a stream view can be pushed through Feast."""
    return f"{view.qualified_name}_push"


def feast_objects(settings: FeatureSettings, zones: Zones) -> list[Any]:
    """Entities, views (stream view behind a push source, batch view over its file) and the service of both."""
    views = features.feature_views(settings)
    entities = {
        name: Entity(name=name, join_keys=[name], value_type=FeastValueType.STRING)
        for name in sorted({view.entity for view in views})
    }
    feast_views = [_view(view, entities[view.entity], zones) for view in views]
    service = FeatureService(name=SERVICE, features=list(feast_views))
    return [*entities.values(), *feast_views, service]


def _view(view: features.FeatureView, entity: Entity, zones: Zones) -> FeatureView:
    """A Feast view. A stream view's file is where Feast would keep pushed rows offline; training reads ``rows/``."""
    file = FileSource(
        name=f"{view.qualified_name}_file",
        path=f"{zones.features}/{view.name}.parquet",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    schema = [Field(name=view.entity, dtype=String)]
    schema += [Field(name=f.name, dtype=_DTYPES[f.kind], description=f.doc) for f in view.features]
    return FeatureView(
        name=view.qualified_name,
        entities=[entity],
        ttl=timedelta(seconds=view.ttl_seconds),
        schema=schema,
        source=PushSource(name=push_source(view), batch_source=file) if view.stream else file,
        tags={"view": view.name, "version": str(view.version)},
    )
