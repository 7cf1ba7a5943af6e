"""The same outputs by hand in pandas, with pyarrow's strings and NumPy for the lists.

``python -m tests.benchmarks.etl.pandas_peer SOURCE OUT``. All events are in memory at once, the windows of a part of
the users at a time. The decayed counts are forward-decayed running sums, as in the polars script.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.etl import case

#: Events of the users that are handled at once, about.
EVENTS_A_PART = 1_000_000


def main(source: Path, out: Path) -> None:
    (out / "rows.parquet").mkdir(parents=True)
    events = valid_events(source)
    write(events, out / "events.parquet")
    log = interactions(events, source)
    del events
    vocabulary = catalogue(log)
    write(vocabulary, out / "vocabulary.parquet")
    codes = vocabulary.set_index("item_id")["item_code"].reindex(log["item_id"].cat.categories)
    log["item_code"] = codes.fillna(case.OUT_OF_VOCABULARY).to_numpy(np.int64)[log["item_id"].cat.codes]
    write(buckets(log), out / "buckets.parquet")
    log = log[log["event_time"] < case.RETRIEVAL_END_MS]
    parts = max(1, len(log) // EVENTS_A_PART)
    number = log["user_id"].cat.codes.to_numpy() % parts
    for part in range(parts):
        rows = training_rows(history(log[number == part]))
        pq.write_table(rows, out / f"rows.parquet/part-{part:03d}.parquet", compression="zstd")


def write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False, compression="zstd")


def valid_events(source: Path) -> pd.DataFrame:
    """The events that break no rule, each id once: the first by day, file and row."""
    now = time.time() * 1000
    events = pd.concat([_valid(file, now) for file in sorted((source / "events").glob("*.parquet"))], ignore_index=True)
    order = np.argsort(events["event_time"].to_numpy() // case.MS_PER_DAY, kind="stable")
    return events.iloc[order].drop_duplicates("event_id", ignore_index=True)


def _valid(file: Path, now: float) -> pd.DataFrame:
    rows = pd.read_parquet(file, columns=list(case.EVENT_COLUMNS), dtype_backend="pyarrow")
    valid = rows["event_type"].isin(case.EVENT_TYPES)
    for name in ("event_id", "user_id", "item_id"):
        valid &= rows[name].notna() & (rows[name].str.len() <= case.MAX_ID_CHARS).fillna(False)
    for name in ("session_id", "region"):
        valid &= (rows[name].str.len() <= case.MAX_ID_CHARS).fillna(True)
    valid &= rows["event_time"].between(case.MIN_EVENT_TIME, now + case.MAX_AHEAD_MS).fillna(False)
    valid &= rows["quantity"].between(case.MIN_QUANTITY, case.MAX_QUANTITY).fillna(True)
    valid &= ((rows["value"] >= 0) & (rows["value"] < np.inf)).fillna(True)
    return rows[valid]


def interactions(events: pd.DataFrame, source: Path) -> pd.DataFrame:
    """Every interaction with the category of its item; text of few values as categoricals."""
    log = events.loc[events["event_type"].isin(case.INTERACTION_TYPES)]
    log = log[["user_id", "event_time", "event_id", "item_id", "region"]].astype({"event_time": np.int64})
    for name in ("user_id", "item_id", "region"):
        log[name] = log[name].fillna("").astype(str).astype("category")
    items = pd.read_parquet(source / "items.parquet", columns=["item_id", "category"]).set_index("item_id")["category"]
    category = items.reindex(log["item_id"].cat.categories).fillna("").astype("category")
    log["category"] = category.array.take(log["item_id"].cat.codes)
    return log


def catalogue(log: pd.DataFrame) -> pd.DataFrame:
    """Items with enough interactions before the cut, and their codes."""
    counts = log.loc[log["event_time"] < case.CUT_MS, "item_id"].value_counts()
    counts = counts[counts >= case.MIN_ITEM_COUNT].rename_axis("item_id").reset_index(name="count")
    counts["item_id"] = counts["item_id"].astype(str)
    counts = counts.sort_values(["count", "item_id"], ascending=[False, True], ignore_index=True)
    return pd.DataFrame({"item_id": counts["item_id"], "item_code": np.arange(len(counts)) + case.FIRST_CODE})


def buckets(log: pd.DataFrame) -> pd.DataFrame:
    """Interactions of catalogue items by day, region and item."""
    known = log.loc[log["item_code"] >= case.FIRST_CODE, ["event_time", "region", "item_code"]]
    day = (known["event_time"] // case.MS_PER_DAY).rename("bucket")
    counted = known.groupby([day, "region", "item_code"], observed=True, sort=True).size()
    return counted.rename("count").reset_index()


def history(log: pd.DataFrame) -> pd.DataFrame:
    """Interactions in the order of their user, with what is known behind each of them.

    ``start`` is the row of the user's first interaction, ``session`` that of the session's, ``leader`` that of the
    interaction which made its region the user's most frequent one (-1: none yet).
    """
    log = log.assign(user=log["user_id"].cat.codes, place=log["event_id"].rank(method="first"))
    log = log.sort_values(["user", "event_time", "place"], ignore_index=True)
    place = np.arange(len(log))
    user, at = log["user"].to_numpy(), log["event_time"].to_numpy()
    new_user = np.diff(user, prepend=-1) != 0
    log["start"] = np.maximum.accumulate(np.where(new_user, place, 0))
    gap = np.diff(at, prepend=at[:1])
    log["opens"] = new_user | (gap != 0)
    log["session"] = np.maximum.accumulate(np.where(new_user | (gap > case.SESSION_GAP_MS), place, 0))
    log["new"] = ~log.duplicated(["user", "item_id"])
    region = log["region"].cat.codes
    here = log.groupby([log["user"], region]).cumcount() + 1
    here[(log["region"] == "").to_numpy()] = 0
    most = here.groupby(log["user"]).cummax()
    before = most.shift(fill_value=0).where(~new_user, 0)
    log["leader"] = np.maximum.accumulate(np.where(here > before, place, -1))
    pair = log["user"].astype(np.int64) * len(log["category"].cat.categories) + log["category"].cat.codes
    age = log["event_time"] - case.FIRST_MS
    weights = {f"sum_{hours}h": np.exp2(age / (hours * case.MS_PER_HOUR)) for hours in case.HALF_LIVES_HOURS}
    log[list(weights)] = pd.DataFrame(weights).groupby(pair).cumsum()
    return log


def training_rows(log: pd.DataFrame) -> pa.Table:
    """Rows of window A: what was known strictly before every instant at which a catalogue item was new to its user."""
    instant = log["opens"].cumsum().to_numpy() - 1
    target = np.flatnonzero(log["new"] & (log["item_code"] >= case.FIRST_CODE))
    wanted, first, sizes = np.unique(instant[target], return_index=True, return_counts=True)
    place = np.flatnonzero(log["opens"])[wanted]
    columns = {name: log[name].to_numpy() for name in ("event_time", "start", "session", "leader", "item_code")}
    at, start = columns["event_time"], columns["start"][place]
    earlier = place - start
    window = np.minimum(earlier, case.RECENT_ITEMS)
    some, last = earlier > 0, np.maximum(place - 1, 0)
    session = np.where(some, np.maximum(columns["session"][last], place - window), place)
    owner = np.repeat(np.arange(len(place)), window)
    recent = place[owner] - 1 - (np.arange(len(owner)) - (np.cumsum(window) - window)[owner])
    led = some & (columns["leader"][last] >= start)
    home = text(log["region"], np.maximum(columns["leader"][last], 0))
    last_time = np.where(some, at[last], 0)
    return pa.table(
        {
            "user_id": text(log["user_id"], place),
            "as_of": at[place],
            "region": text(log["region"], target[first]),
            "home_region": pc.if_else(pa.array(led), home.dictionary_decode(), ""),
            "recent_item_ids": lists(window, text(log["item_id"], recent)),
            "recent_event_times": lists(window, at[recent]),
            "recent_item_codes": lists(window, columns["item_code"][recent]),
            "interaction_count": earlier,
            "last_event_time": last_time,
            "session_start_time": np.where(some, at[np.minimum(session, len(at) - 1)], 0),
            "session_interactions": place - session,
            **counts(log, place, start, last_time),
            "target_item_codes": lists(sizes, columns["item_code"][target]),
        }
    )


def counts(log: pd.DataFrame, place: np.ndarray, start: np.ndarray, last_time: np.ndarray) -> dict[str, pa.Array]:
    """The categories that each row's user met before it, sorted, and their decayed counts at his last interaction."""
    category = log["category"].cat.codes.to_numpy()
    seen = np.full((len(log) + 1, len(log["category"].cat.categories)), -1, np.int32)
    seen[np.arange(len(log)) + 1, category] = np.arange(len(log))
    seen = np.maximum.accumulate(seen, out=seen)[place]
    row, which = np.nonzero(seen >= start[:, None])
    where, sizes = seen[row, which], np.bincount(row, minlength=len(place))
    out = {"count_categories": lists(sizes, text(log["category"], where))}
    since = (last_time[row] - case.FIRST_MS) / case.MS_PER_HOUR
    for hours in case.HALF_LIVES_HOURS:
        sums = log[f"sum_{hours}h"].to_numpy()[where]
        out[f"category_counts_{hours}h"] = lists(sizes, sums * np.exp2(-since / hours))
    return out


def text(column: pd.Series, where: np.ndarray) -> pa.Array:
    """Values of a categorical column at some rows, as an Arrow dictionary."""
    codes = column.cat.codes.to_numpy()[where]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(column.cat.categories, pa.string()))


def lists(sizes: np.ndarray, flat: np.ndarray | pa.Array) -> pa.Array:
    """Flat values cut into lists."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, flat if isinstance(flat, pa.Array) else pa.array(flat))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(json.dumps({}) + "\n")
