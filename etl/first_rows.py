"""What the first rows of a source say about its mapping: times in another unit, ids that are empty, text for numbers.

Only what spoils most of them is a problem of the configuration; a bad row here and there is for the quarantine.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.config import Config, EventTable, Table
from contracts.errors import ArtifactError, shown
from contracts.events import FIELD_BY_NAME, LIMITS, EventType
from etl import source
from etl.values import PER_MS, blank, cast, renamed, to_ms

ROWS = 1_000
#: A problem of the mapping spoils more than this share of the rows.
_MOST = 0.5
#: Words for an event type that are rarer than this are taken for bad rows.
_RARE = 0.01
_KINDS = [kind.value for kind in EventType]
_NUMERIC = ("int", "long", "double")
_IDS = ("event_id", "event_type", "user_id", "item_id")


def problems(config: Config, name: str, files: list[str], wrong: set[str]) -> list[str]:
    """What the first rows of the table ``name`` contradict; settings of ``wrong`` are left out.

    Raises:
        ArtifactError: when the files cannot be read.
    """
    table: Table = getattr(config.source, name)
    where = f"source.{name}"
    mapped = {ours: theirs for ours, theirs in table.columns.items() if f"{where}.columns.{ours}" not in wrong}
    rows = _head(files, table, list(mapped.values()))
    if not rows.num_rows:
        return [f"{where}.url: {table.url} has no rows; give it files that have some"]
    spoilt = pc.is_valid(rows.column(source.UNREADABLE))
    count = pc.sum(spoilt).as_py()
    if count > _MOST * rows.num_rows:
        text = rows.filter(spoilt).column(source.UNREADABLE)[0]
        return [
            f"{where}.url: {count} of its first {rows.num_rows} rows cannot be read; say how they are written "
            f"(format, separator, quote, encoding). The first: {text}"
        ]
    rows = rows.filter(pc.invert(spoilt))
    columns = {ours: rows.column(theirs).combine_chunks() for ours, theirs in mapped.items()}
    if isinstance(table, EventTable):
        found = [*_event_problems(table, columns, where, wrong)]
        return found + _strangers(config, columns, wrong)
    return [*_attribute_problems(config, table, columns, where)]


def _head(files: list[str], table: Table, names: list[str]) -> pa.Table:
    """The first rows of the first file that has any."""
    head = source.head(files[0], table, names, ROWS)
    for file in files[1:]:
        if head.num_rows:
            break
        head = source.head(file, table, names, ROWS)
    return head


def _event_problems(table: EventTable, columns: dict[str, pa.Array], where: str, wrong: set[str]) -> Iterator[str]:
    for ours, values in columns.items():
        said, kind = f"{where}.columns.{ours}", FIELD_BY_NAME[ours].kind
        column = f"column {table.columns[ours]!r}"
        empty = blank(values)
        if empty.all():
            if ours in (*_IDS, "event_time"):
                yield f"{said}: {column} is empty in the first {len(values)} rows; name the column that holds it"
        elif ours == "event_time":
            if f"{where}.time_unit" not in wrong:
                yield from _time_problems(values, table.time_unit, said, column)
        elif ours == "event_type":
            if f"{where}.event_types" not in wrong:
                yield from _type_problems(values, table, column)
        elif kind in _NUMERIC:
            yield from _number_problems(values, kind, said, column)
        elif (kind == "map") != pa.types.is_map(values.type):
            yield f"{said}: {column} holds {values.type}; expected {'objects' if kind == 'map' else 'plain values'}"


def _time_problems(values: pa.Array, unit: str, said: str, column: str) -> Iterator[str]:
    filled = values.filter(pa.array(~blank(values)))
    ms, failed = to_ms(filled, unit)
    if failed.mean() > _MOST:
        example = filled.filter(pa.array(failed))[0].as_py()
        yield f"{said}: {column} cannot be read as times (the first: {shown(example)}); expected dates or numbers"
        return
    now_ms = int(time.time() * 1000)
    if _outside(ms, now_ms).mean() <= _MOST:
        return
    example = ms.drop_null()[0].as_py()
    fits = [other for other in PER_MS if _outside(to_ms(filled, other)[0], now_ms).mean() <= _MOST]
    advice = f"set time_unit = {fits[0]!r}" if fits else "name the column that holds the time"
    yield (
        f"{said}: {column} gives {_date(example)} as {unit!r}, outside {_date(LIMITS.min_event_time)} to now "
        f"(the first: {shown(filled[0].as_py())}); {advice}"
    )


def _type_problems(values: pa.Array, table: EventTable, column: str) -> Iterator[str]:
    text, _ = cast(values, pa.string())
    counted = pc.value_counts(renamed(text, table.event_types).drop_null())
    counts = {entry["values"].as_py(): entry["counts"].as_py() for entry in counted}
    unknown = [word for word, n in counts.items() if word not in _KINDS and n >= _RARE * len(values)]
    if not unknown:
        return
    pairs = ", ".join(f"{_key(word)} = {_guess(word)}" for word in sorted(unknown)[:12])
    yield (
        f"source.events.event_types: {column} holds {', '.join(map(shown, sorted(unknown)[:12]))}; "
        f"set event_types = {{ {pairs} }} with our types ({', '.join(_KINDS)})"
    )


def _number_problems(values: pa.Array, kind: str, said: str, column: str) -> Iterator[str]:
    failed = cast(values, pa.float64() if kind == "double" else pa.int64())[1]
    if failed.sum() > _MOST * (~blank(values)).sum():
        example = values.filter(pa.array(failed))[0].as_py()
        expected = "numbers" if kind == "double" else "whole numbers"
        yield f"{said}: {column} holds such as {shown(example)}; expected {expected}"


def _strangers(config: Config, columns: dict[str, pa.Array], wrong: set[str]) -> list[str]:
    """Whether the log and the item table write the same ids: ``7`` and ``007`` never meet."""
    items, where = config.source.items, "source.items"
    touched = any(setting.startswith(where) for setting in wrong)
    if touched or not items.url or "item_id" not in items.columns or "item_id" not in columns:
        return []
    try:
        column = source.read_all(items.url, [items.columns["item_id"]], items)[0]
    except ArtifactError:
        return []  # what is wrong with that table is told with it
    known, _ = cast(column.combine_chunks(), pa.string())
    seen = pc.unique(cast(columns["item_id"], pa.string())[0].drop_null())
    if not len(seen) or not len(known) or pc.any(pc.is_in(seen, value_set=known)).as_py():
        return []
    here, there = shown(known[0].as_py()), shown(seen[0].as_py())
    return [
        f"{where}.columns.item_id: holds none of the {len(seen)} items of the log's first rows ({here} here, {there} "
        "there); both must write an item alike"
    ]


def _attribute_problems(config: Config, table: Table, columns: dict[str, pa.Array], where: str) -> Iterator[str]:
    keys = {"source.items": ("item_id",), "source.users": ("user_id",)}.get(where, ("item_id", "period"))
    for ours, values in columns.items():
        said, column = f"{where}.columns.{ours}", f"column {table.columns[ours]!r}"
        if ours in keys and blank(values).all():
            yield f"{said}: {column} is empty in the first {len(values)} rows; name the column that holds it"
        elif pa.types.is_map(values.type):
            yield f"{said}: {column} holds objects; expected plain values"
        elif ours == "period" and where == "source.context":
            yield from _number_problems(values, "long", said, column)
        elif where == "source.items" and ours in config.features.item_numeric:
            yield from _number_problems(values, "double", said, column)


def _outside(ms: pa.Array, now_ms: int) -> np.ndarray:
    held = pc.fill_null(ms, 0).to_numpy(zero_copy_only=False)
    return (held < LIMITS.min_event_time) | (held > now_ms + LIMITS.max_ahead_ms)


def _date(ms: int) -> str:
    seconds = max(min(ms // 1000, 253_402_300_799), -62_135_596_800)  # what a datetime holds
    return datetime.fromtimestamp(seconds, timezone.utc).date().isoformat()


def _key(word: str) -> str:
    """A word as a key of TOML."""
    return word if word.isidentifier() and word.isascii() else f'"{word}"'


def _guess(word: str) -> str:
    near = difflib.get_close_matches(word.lower().replace("-", "_").replace(" ", "_"), _KINDS, n=1)
    return f'"{near[0]}"' if near else '"…"'
