"""Impressions as the lake keeps them: a column for each field, tables of numbers as flat lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from contracts.events import Reason, arrow_types
from contracts.impressions import DTYPES, FIELDS
from streaming import codec, lake, topics
from streaming.codec import UndecodableError
from streaming.lake_writer import Buffer
from streaming.quarantine import Refused

_LISTS = {"strings": pa.list_(pa.string()), "floats": pa.list_(pa.float32()), "ints": pa.list_(pa.int32())}
_TYPES = arrow_types(pa) | _LISTS
#: Columns of a file: the fields of an impression, and where the record lay in the topic.
SCHEMA = pa.schema([pa.field(field.name, _TYPES[field.kind]) for field in FIELDS] + lake.PLACE_FIELDS)


class ImpressionBuffer(Buffer):
    """Impressions of one partition in the order of their offsets, read and not yet written."""

    topic = topics.IMPRESSIONS

    def clear(self) -> None:
        """Forget all records."""
        self.offsets = []
        self._shown: list[tuple[int, dict[str, Any]]] = []
        self._refused: list[Refused] = []

    def take(self, offset: int, value: bytes | None) -> None:
        """Add the next record; a ``StackError`` of the registry leaves the buffer as it was."""
        try:
            self._shown.append((offset, codec.of_impressions().decode(value)))
        except UndecodableError as error:
            self._refused.append(Refused(offset, Reason.UNDECODABLE.value, str(error), value))
        self.offsets.append(offset)

    def split(self, now_ms: int) -> tuple[pa.Table, list[Refused]]:
        """The impressions in the schema of a file, and all other records."""
        columns = [_column(field.kind, [record[field.name] for _, record in self._shown]) for field in FIELDS]
        size = len(self._shown)
        place = [[self.partition] * size, [offset for offset, _ in self._shown], [self.incarnation] * size]
        columns += [pa.array(values, field.type) for values, field in zip(place, lake.PLACE_FIELDS)]
        return pa.Table.from_arrays(columns, schema=SCHEMA), self._refused


def _column(kind: str, values: Sequence[Any]) -> pa.Array:
    if kind in DTYPES:
        ends = np.cumsum([0, *(len(value) // DTYPES[kind].itemsize for value in values)], dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.frombuffer(b"".join(values), DTYPES[kind])))
    if kind == "map":
        values = [list(value.items()) for value in values]
    return pa.array(values, _TYPES[kind])
