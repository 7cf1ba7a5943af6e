"""What was shown: one record an answer, with the features as they were served, and its bytes.

Serving writes a record after its answer; ``streaming`` publishes it to the topic of impressions, from which the lake
keeps it and ``etl/impressions.py`` reads it. The bytes are Avro in the Confluent wire format (one zero byte, the
schema's version as int32, the record), written by hand here and in ``ensemble/backend/impression.cc``: tables of
numbers are ``bytes`` of little-endian float32 or int32, which cost a copy to write and a view to read. Times are
milliseconds since the epoch.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: The newest committed file ``contracts/schemas/impression.v*.avsc``: a test compares.
VERSION = 1
#: A request of this id is a probe (health, readiness): its answer is shown to nobody.
PROBE_REQUEST_ID = "trireme-probe"
#: No record is longer: 100 items of the longest id and 150 columns have 120,000 bytes.
MAX_BYTES = 160_000
#: So many bytes of records wait in a server for a reader that is slow or away; what comes then is dropped and counted.
MAX_WAITING_BYTES = 8_000_000
#: Why a record may be dropped: the values of a counter's label.
DROPPED = ("too_large", "no_reader", "slow_reader", "failed")


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: ``kind`` is an Avro primitive, ``map`` or ``strings``, or a table of ``floats`` or ``ints``."""

    name: str
    kind: str
    doc: str


_WHERE_UNSAID = "empty where not said"

FIELDS: tuple[Field, ...] = (
    Field("request_id", "string", "Of the answer; interactions name it."),
    Field("user_id", "string", "Who asked; empty for a visitor without an account, and for similar items."),
    Field("item_id", "string", "The item whose like was asked for; empty for recommendations."),
    Field("anonymous_id", "string", f"The visitor before he was known; {_WHERE_UNSAID}."),
    Field("session_id", "string", f"The visit; {_WHERE_UNSAID}."),
    Field("device", "string", f"With what; {_WHERE_UNSAID}."),
    Field("context", "string", "What else the request said: a JSON object."),
    Field("region", "string", "Of the request, else the user's home region."),
    Field("as_of", "long", "The instant of which all features are, ms."),
    Field("release", "string", "Which answered."),
    Field("variant", "string", "The arm of the experiment."),
    Field("k", "int", "How many items were asked for."),
    Field("feature_age_ms", "long", "as_of less the user's newest interaction; -1 without one."),
    Field("evidence", "long", "The user's interactions ever."),
    Field("session_dwell_ms", "long", "Dwell reported since his newest session began."),
    Field("skipped", "map", "Stage that had no part in it -> why."),
    Field("query_columns", "strings", "Names of user_codes."),
    Field("user_codes", "ints", "The user and his context, encoded: [query columns]."),
    Field("recent_items", "ints", "Codes of his newest items, newest first, without padding."),
    Field("recent_weights", "floats", "Their weights by age."),
    Field("category_counts", "floats", "His decayed counts by category: [half-lives, categories]."),
    Field("item_ids", "strings", "What was shown, by position: n items."),
    Field("scores", "floats", "Their scores: [n]."),
    Field("sources", "strings", "personal, similar or trending: [n]."),
    Field("retrieval_sources", "strings", "Names of the columns of retrieval_scores."),
    Field("retrieval_scores", "floats", "[n, retrieval_sources]; -inf: that source has none; NaN: no candidate."),
    Field("probabilities", "floats", "The ranker's, calibrated: [n]; NaN where it was not asked."),
    Field("categorical_columns", "strings", "Names of the columns of categorical."),
    Field("categorical", "ints", "The ranker's inputs: [n, categorical_columns]; 0 where it was not asked."),
    Field("continuous_columns", "strings", "Names of the columns of continuous."),
    Field("continuous", "floats", "The ranker's inputs: [n, continuous_columns]; NaN where it was not asked."),
)
_AVRO: Mapping[str, Any] = {
    "map": {"type": "map", "values": "string"},
    "strings": {"type": "array", "items": "string"},
    "floats": "bytes",
    "ints": "bytes",
}
#: Kind of a table -> its numbers, little-endian.
DTYPES: Mapping[str, np.dtype[Any]] = {"floats": np.dtype("<f4"), "ints": np.dtype("<i4")}
_ABOUT = {"floats": " Float32, little-endian.", "ints": " Int32, little-endian."}
_HEADER = struct.pack(">bI", 0, VERSION)


def avro_schema() -> dict[str, Any]:
    """The Avro record of an impression: every field has a default, so that readers evolve."""
    defaults: dict[str, Any] = {"string": "", "long": 0, "int": 0, "map": {}, "strings": [], "floats": "", "ints": ""}
    fields = [
        {
            "name": field.name,
            "type": _AVRO.get(field.kind, field.kind),
            "default": defaults[field.kind],
            "doc": field.doc + _ABOUT.get(field.kind, ""),
        }
        for field in FIELDS
    ]
    return {"type": "record", "name": "Impression", "namespace": "trireme", "fields": fields}


def encode(record: Mapping[str, Any]) -> bytes:
    """A record, a value for each of ``FIELDS``, as bytes; tables may have any shape and type of number."""
    out = bytearray(_HEADER)
    for field in FIELDS:
        _WRITE[field.kind](out, record[field.name])
    return bytes(out)


def table(record: Mapping[str, Any], name: str) -> np.ndarray:
    """A table of a decoded record, flat, by the type of ``FIELDS``."""
    return np.frombuffer(record[name], DTYPES[_KINDS[name]])


def problem(record: Mapping[str, Any]) -> str:
    """What is wrong with a decoded record, or "": tables must have the sizes that their names and items say."""
    shown = len(record["item_ids"])
    sizes = {
        "user_codes": len(record["query_columns"]),
        "recent_weights": len(record["recent_items"]) // 4,
        "scores": shown,
        "probabilities": shown,
        "retrieval_scores": shown * len(record["retrieval_sources"]),
        "categorical": shown * len(record["categorical_columns"]),
        "continuous": shown * len(record["continuous_columns"]),
    }
    if not record["request_id"]:
        return "request_id: expected a text, got none"
    if len(record["sources"]) != shown:
        return f"sources: expected {shown}, got {len(record['sources'])}"
    for name, size in sizes.items():
        if len(record[name]) != size * 4:
            return f"{name}: expected {size} numbers, got {len(record[name])} bytes"
    return ""


def _long(out: bytearray, value: int) -> None:
    """Avro's: zigzag, seven bits a byte, the lowest first."""
    left = (value << 1) ^ (value >> 63)
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)


def _bytes(out: bytearray, value: bytes) -> None:
    _long(out, len(value))
    out += value


def _string(out: bytearray, value: str) -> None:
    _bytes(out, value.encode())


def _strings(out: bytearray, values: Sequence[str]) -> None:
    if values:
        _long(out, len(values))
        for value in values:
            _string(out, value)
    out.append(0)


def _map(out: bytearray, values: Mapping[str, str]) -> None:
    if values:
        _long(out, len(values))
        for key, value in values.items():
            _string(out, key)
            _string(out, value)
    out.append(0)


def _floats(out: bytearray, values: np.ndarray) -> None:
    _bytes(out, np.asarray(values).astype("<f4").tobytes())


def _ints(out: bytearray, values: np.ndarray) -> None:
    _bytes(out, np.asarray(values).astype("<i4").tobytes())


_WRITE = {"string": _string, "long": _long, "int": _long, "map": _map, "strings": _strings, "floats": _floats,
          "ints": _ints}  # fmt: skip
_KINDS = {field.name: field.kind for field in FIELDS}
