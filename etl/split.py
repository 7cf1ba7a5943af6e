"""A published evaluation protocol as a re-timing of a log, so that the ordinary pipeline by time is that protocol.

Papers hold out each user's last interaction (leave-one-out), or a random share of all; this platform cuts by time. So
every interaction gets a new time: what a protocol holds out lies on the day of the cut, what it validates by on the
day before (window C), what the ranker learns from on the days before that (B), and all else (A) ends a day earlier with
each user's own gaps between interactions. The newest interaction that a row knows is thus a day old in B, C and the
test alike.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow.compute makes its functions at import, so pyright sees none of them)

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.config import Config, parse
from contracts.errors import ArtifactError
from contracts.events import INTERACTIONS
from contracts.features import MS_PER_DAY
from etl import ingest, quality, source

#: Interactions of a user that lie in window B under leave-one-out, a row of the ranker each.
RANKER_ROWS_A_USER = 3
#: In ``held``: not held out.
KEPT = -1


class Retimed(NamedTuple):
    """Which rows of a log are kept, and when they are now.

    Attributes:
        row: int64 ``[n]``: of every user and item the first row, sorted by user, time and place in the log.
        time: int64 ``[n]``, ms.
        windows: the dates ``retrieval_end``, ``ranker_end`` and ``cut``.
    """

    row: np.ndarray
    time: np.ndarray
    windows: dict[str, str]


def retime(
    user: np.ndarray, item: np.ndarray, when: np.ndarray, protocol: str, share: float = 0.2, seed: int = 20
) -> Retimed:
    """A log by a protocol; only the first interaction of a user with an item counts.

    Args:
        user: int ``[rows]``, any numbering.
        item: the same.
        when: int64 ms ``[rows]``.
        protocol: ``leave-one-out``: each user's last interaction is the test, the second last window C and the three
            before window B, as far as one remains before them (users with fewer than three interactions are not
            tested). ``random``: ``share`` of all interactions, drawn by ``seed``, is the test, and half of that each
            C and B; a user has one instant in each window, and so one request.
        share: of ``random``, more than 0 and less than a half.
        seed: of ``random``.
    """
    row = _distinct(user, item, when)
    user, when = user[row], when[row]
    if protocol == "leave-one-out":
        held, days = leave_one_out(user, RANKER_ROWS_A_USER), RANKER_ROWS_A_USER + 1
    else:
        held, days = random_share(len(user), share, seed), 2
    cut = int(when.max(initial=0)) // MS_PER_DAY * MS_PER_DAY
    new = cut - held * MS_PER_DAY
    kept = held == KEPT
    new[kept] = _ending_at(user[kept], when[kept], cut - (days + 1) * MS_PER_DAY)
    ends = {"retrieval_end": cut - days * MS_PER_DAY, "ranker_end": cut - MS_PER_DAY, "cut": cut}
    return Retimed(row, new, {name: _date(end) for name, end in ends.items()})


def leave_one_out(user: np.ndarray, most: int) -> np.ndarray:
    """Days before the cut on which each row is held out, int64 ``[n]``; ``KEPT`` where it is not.

    The last row of a user has 0, the second last 1, and so on for at most ``most`` more; the first is always kept.

    Args:
        user: ``[n]``, sorted.
        most: rows of a user in window B.

    Example:
        >>> leave_one_out(np.array([7, 7, 7, 7, 8, 8]), 3).tolist()
        [-1, 2, 1, 0, -1, -1]
    """
    starts, sizes = _runs(user)
    place = np.arange(len(user)) - np.repeat(starts, sizes)
    size = np.repeat(sizes, sizes)
    from_end = size - 1 - place
    return np.where((size >= 3) & (place > 0) & (from_end <= most + 1), from_end, KEPT)


def random_share(rows: int, share: float, seed: int) -> np.ndarray:
    """As ``leave_one_out``, for a random protocol: 0 for ``share`` of the rows, 1 and 2 for half as many each."""
    number, half = round(rows * share), round(rows * share / 2)
    order = np.random.default_rng(seed).permutation(rows)
    held = np.full(rows, KEPT, np.int64)
    held[order[:number]], held[order[number : number + half]], held[order[number + half : number + 2 * half]] = 0, 1, 2
    return held


def _distinct(user: np.ndarray, item: np.ndarray, when: np.ndarray) -> np.ndarray:
    """Rows of the first interaction of every user and item, sorted by user, time and place in the log."""
    place = np.arange(len(user))
    by_pair = np.lexsort((place, when, item, user))
    first = np.r_[True, (np.diff(user[by_pair]) != 0) | (np.diff(item[by_pair]) != 0)][: len(user)]
    row = by_pair[first]
    return row[np.lexsort((row, when[row], user[row]))]


def _ending_at(user: np.ndarray, when: np.ndarray, end: int) -> np.ndarray:
    """Each user's times moved so that the last is ``end``; those of one instant get a millisecond each, in order.

    The order of a log is what leave-one-out goes by; a model that sees strictly earlier interactions only would
    otherwise not see it.

    Args:
        user: ``[n]``, sorted.
        when: ms, rising within a user.
        end: ms.
    """
    starts, sizes = _runs(user)
    place = np.arange(len(user)) - np.repeat(starts, sizes)
    # The least times that rise by at least one and are not before the given ones: a running maximum, kept from leaking
    # into the next user by an offset that exceeds every difference.
    number = np.repeat(np.arange(len(sizes)), sizes)
    base = when - when.min(initial=0) - place
    offset = number * (int(np.ptp(base)) + 1 if len(base) else 1)
    rising = np.maximum.accumulate(base + offset) - offset + place
    last = rising[starts + sizes - 1]
    return rising - np.repeat(last, sizes) + end


def _runs(user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each user's rows start and how many they are."""
    starts = np.flatnonzero(np.r_[True, np.diff(user) != 0][: len(user)])
    return starts, np.diff(np.r_[starts, len(user)])


def run(path: str, protocol: str, out: str, share: float, seed: int) -> dict[str, Any]:
    """Write ``events.parquet`` and ``<name>-<protocol>.toml`` to a folder; the figures.

    Raises:
        ArtifactError: when no interaction of the source obeys the rules, or the share leaves nothing to learn from.
    """
    if not 0 < share < 0.5:
        raise ArtifactError(f"--share: expected more than 0 and less than 0.5, got {share}: B and C take as much again")
    from etl import check

    config, _ = check.run(path)
    rows = interactions(config)
    if not rows.num_rows:
        raise ArtifactError(f"{config.source.events.url}: no interaction obeys the rules; see `etl check {path}`")
    user, item = (
        pc.dictionary_encode(rows[name].combine_chunks()).indices.to_numpy() for name in ("user_id", "item_id")
    )
    made = retime(user.astype(np.int64), item.astype(np.int64), rows["event_time"].to_numpy(), protocol, share, seed)
    table = rows.take(pa.array(made.row))
    table = table.set_column(table.schema.get_field_index("event_time"), "event_time", pa.array(made.time))
    table = table.select([name for name in table.column_names if table[name].null_count < table.num_rows])
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    events = folder / "events.parquet"
    pq.write_table(table, events)
    settings = rewritten(Path(path), f"{config.name}-{protocol}", events.as_uri(), table.column_names, made.windows)
    parse(settings, path)
    written = folder / f"{settings['name']}.toml"
    says = f"# {config.name} by the protocol {protocol}: made by `python -m etl split`, not to be edited.\n"
    written.write_text(says + toml(settings), encoding="utf-8")
    ends = [int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp() * 1000) for day in made.windows.values()]
    sizes = np.bincount(np.searchsorted(ends, made.time, side="right"), minlength=4)
    return {
        "config": str(written),
        "events": table.num_rows,
        **{f"window_{name}": int(size) for name, size in zip("ABC", sizes)},
        "test": int(sizes[3]),
        "left_out": rows.num_rows - table.num_rows,
    }


def interactions(config: Config) -> pa.Table:
    """All rows of the source that are interactions and obey the rules (but for references), in the log's order."""
    table, parts, now_ms = config.source.events, [], int(time.time() * 1000)
    wanted = list(table.columns.values())
    context = quality.Context(now_ms, dataclasses.replace(config.quality, references=(), max_disorder_hours=0))
    kinds = pa.array(sorted(kind.value for kind in INTERACTIONS))
    for index, (file, origin) in enumerate(ingest.origins(table.url).items()):
        for piece in source.file_pieces(file, index, ingest.PIECE_ROWS, table):
            rows = ingest.map_rows(source.read(piece, wanted), table, config.name, origin, piece.start, 0)
            verdict, _ = quality.judge(rows, context)
            good = pc.and_(pa.array(verdict < 0), pc.is_in(rows["event_type"], value_set=kinds))
            parts.append(rows.filter(good).drop(["source", "offset", "unreadable"]))
    return pa.concat_tables(parts)


def rewritten(path: Path, name: str, url: str, columns: list[str], windows: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a TOML, read as they stand, for the re-timed log."""
    from contracts.config import tomllib

    settings = tomllib.loads(path.read_text(encoding="utf-8"))
    settings["name"] = name
    held = settings["source"]
    held["time_shift"] = "none"
    held["events"] = {"url": url, "columns": dict(zip(columns, columns))}
    held.pop("context", None)  # what held in a week of the past holds in none of these days
    # The days are made up, so none of them is suspicious, and no order is broken.
    settings.setdefault("quality", {}).update(hold_min_rows=1 << 40, max_disorder_hours=0)
    settings["features"]["min_item_count"] = 1  # the catalogue of a protocol is every item of its training part
    settings["windows"] = dict(windows)
    return settings


def toml(settings: Mapping[str, Any], where: str = "") -> str:
    """Nested settings as TOML: values of a table first, then its tables. JSON's strings and lists are TOML's too."""
    named = {key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key): key for key in settings}
    values = {name: settings[key] for name, key in named.items() if not isinstance(settings[key], Mapping)}
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    for name, key in named.items():
        if isinstance(value := settings[key], Mapping):
            place = f"{where}.{name}" if where else name
            lines.append(f"\n[{place}]\n{toml(value, place)}")
    return "".join(lines)


def _date(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, timezone.utc):%Y-%m-%d}"
