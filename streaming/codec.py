"""Events as bytes: Avro in the Confluent wire format (one zero byte, the schema's id as int32, the record).

Every version of the schema is a committed file of ``contracts/schemas``; the newest is generated from
``contracts.events.FIELDS``. A reader resolves any version that it has a file of, so that old records stay readable,
and a schema registry can take the place of the files without a change of the bytes.
"""

from __future__ import annotations

import functools
import io
import json
import struct
from pathlib import Path
from typing import Any

import fastavro

import contracts.events
from contracts.errors import ArtifactError
from contracts.events import Event, avro_schema

SCHEMA_FOLDER = Path(contracts.events.__file__).parent / "schemas"
#: Id of the schema that is written: the number in its file's name. Raise it with every change of the fields.
SCHEMA_ID = 1
_HEADER = struct.Struct(">bI")
#: What fastavro raises on bytes that do not fit the schema.
_BROKEN = (ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError, OverflowError, MemoryError)


class UndecodableError(ValueError):
    """Bytes that are no event in a known version: counted and passed over, never retried."""


def schema_path(schema_id: int) -> Path:
    """The committed file of a version."""
    return SCHEMA_FOLDER / f"event.v{schema_id}.avsc"


def schema_text() -> str:
    """The newest schema as it is committed."""
    return json.dumps(avro_schema(), indent=2) + "\n"


@functools.cache
def _parsed(schema_id: int) -> Any:
    return fastavro.parse_schema(json.loads(schema_path(schema_id).read_text(encoding="utf-8")))


@functools.cache
def _newest() -> Any:
    """The contract's own schema.

    Raises:
        ArtifactError: when the committed file says something else.
    """
    path = schema_path(SCHEMA_ID)
    if not path.exists() or path.read_text(encoding="utf-8") != schema_text():
        raise ArtifactError(
            f"{path} is not the schema of contracts/events.py: run `python -m streaming schemas`; if events of version "
            f"{SCHEMA_ID} are in use already, raise SCHEMA_ID first"
        )
    return _parsed(SCHEMA_ID)


def encode(event: Event) -> bytes:
    """An event in the wire format of the newest version."""
    buffer = io.BytesIO()
    buffer.write(_HEADER.pack(0, SCHEMA_ID))
    fastavro.schemaless_writer(buffer, _newest(), event.to_dict())
    return buffer.getvalue()


def decode(data: bytes | None) -> Event:
    """The inverse of ``encode``, for every version that has a file.

    Raises:
        UndecodableError: saying what was wrong with the bytes.
    """
    if data is None or len(data) < _HEADER.size:
        raise UndecodableError(f"expected at least {_HEADER.size} bytes of wire format, got {data!r}")
    magic, schema_id = _HEADER.unpack_from(data)
    if magic != 0:
        raise UndecodableError(f"expected the wire format's zero byte first, got {data[:1]!r}")
    try:
        writer = _parsed(schema_id)
    except FileNotFoundError:
        raise UndecodableError(f"expected the id of a file in {SCHEMA_FOLDER.name}/, got {schema_id}") from None
    buffer = io.BytesIO(data)
    buffer.seek(_HEADER.size)
    document: Any
    try:
        document = fastavro.schemaless_reader(buffer, writer, _newest())
    except _BROKEN as error:
        raise UndecodableError(f"the bytes do not fit schema {schema_id}: {error!r}") from None
    if buffer.tell() != len(data):
        raise UndecodableError(f"{len(data) - buffer.tell()} bytes are left over after the record")
    return Event(**document)
