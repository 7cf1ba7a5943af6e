"""Events and impressions as bytes: Avro in the Confluent wire format (a zero byte, the schema's id, the record).

What is written is the schema of the contract. What is read is resolved from every version that the registry knows: the
committed files, or a real registry that the environment names; the bytes differ in the id alone.
"""

from __future__ import annotations

import functools
import io
import logging
import struct
import time
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from contracts import impressions
from contracts.events import Event
from streaming import schemas
from streaming.registry import Files, Registry, Remote
from streaming.schemas import Subject
from streaming.settings import stream_settings

log = logging.getLogger(__name__)

_HEADER = struct.Struct(">bI")
#: For so long an id that the registry did not know is not asked for again, and so many of them are kept in mind.
UNKNOWN_SECONDS, _UNKNOWN_IDS = 60.0, 1000
#: What fastavro raises on bytes that do not fit the schema, and on schemas that do not fit each other or are none.
_BROKEN = (ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError, OverflowError, MemoryError,
           RecursionError, SchemaResolutionError, SchemaParseException)  # fmt: skip


class UndecodableError(ValueError):
    """Bytes that are no record in a known version: counted and put aside, never retried."""


class Reader:
    """Bytes to the documents of a subject, with the ids of one registry."""

    def __init__(self, registry: Registry, subject: Subject):
        self._registry = registry
        self._document = subject.schema()
        self._contract: Any = fastavro.parse_schema(self._document)
        #: Id -> the schema of the record and, where that is another one, the one to read it as.
        self._schemas: dict[int, tuple[Any, Any]] = {}
        self._unknown: dict[int, float] = {}

    @functools.cached_property
    def schema_id(self) -> int:
        """The id of the schema that is written.

        Raises:
            ArtifactError: when the committed files are not the contract's.
            StackError: when the registry does not answer, or refuses the contract's schema.
        """
        return self._registry.newest()

    def document(self, data: bytes | None) -> dict[str, Any]:
        """A record of any version that the registry knows, as the contract's.

        A field that the record's version lacks is None; one that only the record's version has is skipped.

        Raises:
            UndecodableError: saying what was wrong with the bytes.
            StackError: when the registry does not answer and the id was not met before: the record is as good as
                before, so try again.
        """
        if data is None or len(data) < _HEADER.size:
            raise UndecodableError(f"expected at least {_HEADER.size} bytes of wire format, got {data!r}")
        magic, schema_id = _HEADER.unpack_from(data)
        if magic != 0:
            raise UndecodableError(f"expected the wire format's zero byte first, got {data[:1]!r}")
        written, wanted = self._schemas.get(schema_id) or self._pair(schema_id)
        buffer = io.BytesIO(data)
        buffer.seek(_HEADER.size)
        document: Any
        try:
            document = fastavro.schemaless_reader(buffer, written, wanted)
        except _BROKEN as error:
            raise UndecodableError(f"the bytes do not fit schema {schema_id}: {_short(error)}") from None
        if buffer.tell() != len(data):
            raise UndecodableError(f"{len(data) - buffer.tell()} bytes are left over after the record")
        return document

    def _pair(self, schema_id: int) -> tuple[Any, Any]:
        """The entry in ``_schemas`` of an id that was not met before; asked for once."""
        if self._unknown.get(schema_id, 0.0) < time.monotonic():
            document = self._registry.schema(schema_id)
            try:
                if document is not None:
                    pair = fastavro.parse_schema(document), None if document == self._document else self._contract
                    return self._schemas.setdefault(schema_id, pair)
            except _BROKEN as error:
                log.warning("schema %d of %s is not Avro: %s", schema_id, self._registry.name, _short(error))
            if len(self._unknown) >= _UNKNOWN_IDS:
                self._unknown.clear()
            self._unknown[schema_id] = time.monotonic() + UNKNOWN_SECONDS
        raise UndecodableError(f"expected the id of an Avro schema of {self._registry.name}, got {schema_id}")


class Codec(Reader):
    """Both ways between events and bytes."""

    def __init__(self, registry: Registry):
        super().__init__(registry, schemas.EVENTS)

    def encode(self, event: Event) -> bytes:
        """An event in the wire format of the newest version; raises what ``schema_id`` raises."""
        buffer = io.BytesIO()
        buffer.write(_HEADER.pack(0, self.schema_id))
        fastavro.schemaless_writer(buffer, self._contract, event.to_dict())
        return buffer.getvalue()

    def decode(self, data: bytes | None) -> Event:
        """The inverse of ``encode``, for every version that the registry knows; raises what ``document`` raises."""
        return Event(**self.document(data))


class ImpressionCodec(Reader):
    """Impressions out of bytes, and the bytes of a server as the topic's: serving knows the committed files alone."""

    def __init__(self, registry: Registry):
        super().__init__(registry, schemas.IMPRESSIONS)
        self._files = Reader(Files(subject=schemas.IMPRESSIONS), schemas.IMPRESSIONS)

    def served(self, data: bytes) -> tuple[dict[str, Any], bytes]:
        """A record as a server sent it, checked, and its bytes for the topic.

        Raises:
            UndecodableError: saying what was wrong with it.
        """
        document = self._checked(self._files.document(data))
        if data[: _HEADER.size] == _HEADER.pack(0, self._files.schema_id):
            return document, _HEADER.pack(0, self.schema_id) + data[_HEADER.size :]
        # Of a server of other code: what it said, in the contract's words.
        buffer = io.BytesIO()
        buffer.write(_HEADER.pack(0, self.schema_id))
        fastavro.schemaless_writer(buffer, self._contract, document)
        return document, buffer.getvalue()

    def decode(self, data: bytes | None) -> dict[str, Any]:
        """A record of the topic, checked; raises what ``document`` raises."""
        return self._checked(self.document(data))

    @staticmethod
    def _checked(document: dict[str, Any]) -> dict[str, Any]:
        problem = impressions.problem(document)
        if problem:
            raise UndecodableError(problem)
        return document


@functools.cache
def shared() -> Codec:
    """The codec of this process, with the registry that the environment names."""
    return Codec(_registry(schemas.EVENTS))


@functools.cache
def of_impressions() -> ImpressionCodec:
    """The same, of impressions."""
    return ImpressionCodec(_registry(schemas.IMPRESSIONS))


def _registry(subject: Subject) -> Registry:
    url = stream_settings().schema_registry
    return Remote(url, subject) if url else Files(subject=subject)


def connect() -> None:
    """Find the id of the schema that is written, so that a process fails at its start and not at its first event.

    Raises:
        ArtifactError: when the committed files are not the contract's.
        StackError: when the registry does not answer, or refuses the contract's schema.
    """
    log.info("events are written with schema %d", shared().schema_id)


def encode(event: Event) -> bytes:
    """``Codec.encode`` of this process's codec."""
    return shared().encode(event)


def decode(data: bytes | None) -> Event:
    """``Codec.decode`` of this process's codec."""
    return shared().decode(data)


def _short(error: Exception) -> str:
    return repr(error)[:200]
