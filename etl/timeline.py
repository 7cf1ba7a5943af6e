"""Attributes of items and users as of any instant: their newest values, and the former ones of what changed."""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl import device, history, store


class Timeline(NamedTuple):
    """Attributes by id and time.

    Attributes:
        newest: ids and their newest attributes.
        changes: as ``etl.changes.Derived`` has them.
        key: the column of the ids.
    """

    newest: pa.Table
    changes: pa.Table
    key: str

    def of(self, ids: pa.Array) -> Timeline:
        """Only what concerns some ids."""
        newest, changes = (table.filter(pc.is_in(table.column(self.key), value_set=ids)) for table in self[:2])
        return Timeline(newest, changes, self.key)

    def before(self, ids: pa.Array | pa.ChunkedArray, instant: np.ndarray | int) -> dict[str, pa.Array]:
        """Attribute -> its value for every id by the changes strictly before an instant; null for an unknown id.

        Args:
            ids: strings ``[n]``.
            instant: int64 ``[n]``, ms, or one for all.
        """
        ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
        place = pc.index_in(ids, value_set=self.newest.column(self.key).combine_chunks())
        names = [name for name in self.newest.column_names if name != self.key]
        if not self.changes.num_rows:
            return {name: self.newest.column(name).combine_chunks().take(place) for name in names}
        place = self._place(ids, place, instant)
        both = pa.concat_tables([self.newest.select(names), self.changes.select(names)])
        return {name: both.column(name).combine_chunks().take(place) for name in names}

    def _place(self, ids: pa.Array, newest: pa.Array, instant: np.ndarray | int) -> pa.Array:
        """The row of every id in ``newest``, or behind that table's rows in ``changes`` where the id has changes."""
        changed = pc.dictionary_encode(self.changes.column(self.key)).combine_chunks()
        start = np.flatnonzero(np.diff(changed.indices.to_numpy(), prepend=-1))
        number = pc.index_in(ids, value_set=changed.dictionary)
        here = np.flatnonzero(pc.is_valid(number))
        number = number.drop_null().to_numpy()
        end = np.append(start[1:], self.changes.num_rows)
        valid_from = device.numbers(self.changes.column("valid_from"))
        asked = np.broadcast_to(np.asarray(instant, np.int64), len(ids))[here]
        bounds = map(device.arrays().asarray, (start[number], end[number], asked))
        found = device.to_host(history.first_not_before(valid_from, *bounds)) - 1
        place = np.array(pc.fill_null(pc.cast(newest, pa.int64()), -1))
        place[here] = self.newest.num_rows + found
        return pa.array(place, mask=place < 0)


def read(processed: str, table: str, attributes: Sequence[str]) -> Timeline:
    """The ``items`` or ``users`` of a processed zone, with some of their attributes."""
    key = {"items": "item_id", "users": "user_id"}[table]
    newest = store.read(f"{processed}/{table}.parquet", [key, *attributes])
    changes = store.read(f"{processed}/{table[:-1]}_changes.parquet", [key, "valid_from", *attributes])
    return Timeline(newest, changes, key)
