"""The same outputs by hand in polars: lazy and streaming over all events, then eager windows over some users at a time.

``python -m tests.benchmarks.etl.polars_peer SOURCE OUT``. The decayed counts are forward-decayed running sums: over
90 days the weights stay below 2 ** 90, which a double holds, so no care for longer logs is taken.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import polars as pl
import pyarrow as pa

from tests.benchmarks.etl import case

#: Events of the users that are handled at once, about.
EVENTS_A_PART = 1_000_000
USER, TIME, ITEM = pl.col("user_id"), pl.col("event_time"), pl.col("item_id")


def main(source: Path, out: Path) -> None:
    (out / "rows.parquet").mkdir(parents=True)
    valid_events(source).sink_parquet(out / "events.parquet", compression="zstd")
    events = pl.scan_parquet(out / "events.parquet").filter(pl.col("event_type").is_in(case.INTERACTION_TYPES))
    vocabulary = catalogue(events)
    vocabulary.write_parquet(out / "vocabulary.parquet", compression="zstd")
    buckets(events, vocabulary).write_parquet(out / "buckets.parquet", compression="zstd")
    log, categories = interactions(events, source, vocabulary)
    parts = max(1, log.height // EVENTS_A_PART)
    for part in range(parts):
        some = log.filter(USER.to_physical() % parts == part) if parts > 1 else log
        rows = training_rows(history(some), categories)
        rows.write_parquet(out / f"rows.parquet/part-{part:03d}.parquet", compression="zstd")


def valid_events(source: Path) -> pl.LazyFrame:
    """The events that break no rule, each id once: the first by day, file and row."""
    text = [pl.col(name).str.len_chars() <= case.MAX_ID_CHARS for name in ("user_id", "item_id", "event_id")]
    optional = [
        pl.col("quantity").is_between(case.MIN_QUANTITY, case.MAX_QUANTITY),
        (pl.col("value") >= 0) & pl.col("value").is_finite(),
        pl.col("session_id").str.len_chars() <= case.MAX_ID_CHARS,
        pl.col("region").str.len_chars() <= case.MAX_ID_CHARS,
    ]
    valid = pl.scan_parquet(source / "events/*.parquet").filter(
        *text,
        *(rule.fill_null(True) for rule in optional),
        pl.col("event_type").is_in(case.EVENT_TYPES),
        TIME.is_between(case.MIN_EVENT_TIME, time.time() * 1000 + case.MAX_AHEAD_MS),
    )
    by_day = valid.with_columns(day=TIME // case.MS_PER_DAY).sort("day", maintain_order=True)
    return by_day.unique("event_id", keep="first", maintain_order=True).select(case.EVENT_COLUMNS)


def catalogue(events: pl.LazyFrame) -> pl.DataFrame:
    """Items with enough interactions before the cut, and their codes."""
    return (
        events.filter(TIME < case.CUT_MS)
        .group_by("item_id")
        .len()
        .filter(pl.col("len") >= case.MIN_ITEM_COUNT)
        .sort("len", "item_id", descending=[True, False])
        .select("item_id", item_code=pl.int_range(pl.len(), dtype=pl.Int64) + case.FIRST_CODE)
        .collect(engine="streaming")
    )


def buckets(events: pl.LazyFrame, vocabulary: pl.DataFrame) -> pl.DataFrame:
    """Interactions of catalogue items by day, region and item."""
    return (
        events.join(vocabulary.lazy(), on="item_id")
        .group_by((TIME // case.MS_PER_DAY).cast(pl.Int32).alias("bucket"), pl.col("region").fill_null(""), "item_code")
        .agg(pl.len().alias("count"))
        .sort("bucket", "region", "item_code")
        .collect(engine="streaming")
    )


def interactions(events: pl.LazyFrame, source: Path, vocabulary: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Every interaction of window A with the code and category of its item; and the categories, sorted."""
    items = pl.scan_parquet(source / "items.parquet").select("item_id", pl.col("category").fill_null(""))
    log = (
        events.filter(TIME < case.RETRIEVAL_END_MS)
        .select("user_id", "event_time", "event_id", "item_id", pl.col("region").fill_null(""))
        .join(items, on="item_id", how="left")
        .join(vocabulary.lazy(), on="item_id", how="left")
        .with_columns(pl.col("category").fill_null(""), USER.cast(pl.Categorical), ITEM.cast(pl.Categorical))
        .collect(engine="streaming")
    )
    categories = log["category"].unique().sort().to_list()
    return log.with_columns(pl.col("category", "region").cast(pl.Categorical)), categories


def history(log: pl.DataFrame) -> pl.DataFrame:
    """Interactions in the order of their user, with what is known behind each of them.

    ``place`` numbers the rows and ``start`` is the user's first: a column that is filled forward over the whole frame
    holds a place, and one before ``start`` is another user's.
    """
    new_user = USER.ne_missing(USER.shift())
    category, region = pl.col("category").to_physical(), pl.col("region").to_physical()
    weights = {
        f"sum_{hours}h": pl.lit(2.0).pow((TIME - case.FIRST_MS) / (hours * case.MS_PER_HOUR))
        for hours in case.HALF_LIVES_HOURS
    }
    return (
        log.lazy()
        .with_columns(user=USER.to_physical())
        .sort("user", "event_time", "event_id")
        .with_columns(place=pl.int_range(pl.len()))
        .with_columns(
            start=filled(pl.col("place"), new_user),
            opens=new_user | (TIME.shift() != TIME),
            session=filled(pl.col("place"), new_user | (TIME.diff() > case.SESSION_GAP_MS)),
            new=(pl.col("user").cast(pl.UInt64) * (1 << 32) + ITEM.to_physical()).is_first_distinct(),
            times_here=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("user", region),
            **{name: weight.cum_sum().over("user", category) for name, weight in weights.items()},
        )
        .with_columns(
            instant=pl.col("opens").cum_sum(),
            earlier=pl.col("place") - pl.col("start"),
            # The leader loses only to a region that exceeds it: it is that of the last new maximum.
            most=pl.when(pl.col("region") != "").then(pl.col("times_here")).otherwise(0) + pl.col("start"),
        )
        .with_columns(
            leader=filled(
                pl.col("place"), pl.col("most") > pl.max_horizontal(pl.col("most").cum_max().shift(), "start")
            )
        )
        .collect()
    )


def filled(values: pl.Expr, where: pl.Expr) -> pl.Expr:
    """The value of the last row that fulfils a condition."""
    return pl.when(where).then(values).forward_fill()


def training_rows(log: pl.DataFrame, categories: list[str]) -> pl.DataFrame:
    """Rows of window A: what was known strictly before every instant at which a catalogue item was new to its user."""
    place, earlier = pl.col("place"), pl.col("earlier")
    targets = (
        log.lazy()
        .filter(pl.col("new") & pl.col("item_code").is_not_null())
        .group_by("instant", maintain_order=True)
        .agg(pl.col("region").first(), pl.col("item_code").alias("target_item_codes"))
    )
    window = pl.min_horizontal(earlier, case.RECENT_ITEMS)
    last_of = {f"last_{i}": filled(place, pl.col("category") == name).shift() for i, name in enumerate(categories)}
    own = [pl.when(pl.col(name) >= pl.col("start")).then(pl.col(name)) for name in last_of]
    queries = (
        log.lazy()
        .select(
            *("opens", "instant", "user_id", "start", "place", "earlier"),
            as_of=TIME,
            last_event_time=pl.when(earlier > 0).then(TIME.shift()).otherwise(0),
            leader=pl.col("leader").shift(),
            session=pl.max_horizontal(pl.col("session").shift(), place - window),
            **last_of,
        )
        .filter("opens")
        .join(targets, on="instant", maintain_order="left")
        .with_columns(
            session=pl.when(earlier > 0).then("session").otherwise(place),
            recent=pl.int_ranges(place - 1, place - 1 - window, -1),
            counted=pl.concat_arr(own).arr.to_list().list.drop_nulls(),
        )
        .collect()
    )
    return with_values(queries, log)


def with_values(queries: pl.DataFrame, log: pl.DataFrame) -> pl.DataFrame:
    """The columns of the rows: what lies in the log at the places that each row is made of."""
    recent, counted, last = queries["recent"], queries["counted"], queries["last_event_time"]
    since = last.gather(owners(counted)) - case.FIRST_MS
    codes = log["item_code"].fill_null(case.OUT_OF_VOCABULARY)
    own_leader = pl.col("leader") >= pl.col("start")
    counts = {
        f"category_counts_{hours}h": gathered(
            log[f"sum_{hours}h"], counted, 0.5 ** (since / (hours * case.MS_PER_HOUR))
        )
        for hours in case.HALF_LIVES_HOURS
    }
    return queries.select(
        *("user_id", "as_of", "region"),
        home_region=pl.when(own_leader).then(log["region"].gather(queries["leader"])).otherwise(pl.lit("")),
        recent_item_ids=gathered(log["item_id"], recent),
        recent_event_times=gathered(log["event_time"], recent),
        recent_item_codes=gathered(codes, recent),
        interaction_count="earlier",
        last_event_time="last_event_time",
        session_start_time=pl.when(pl.col("earlier") > 0)
        .then(log["event_time"].gather(queries["session"]))
        .otherwise(0),
        session_interactions=pl.col("place") - pl.col("session"),
        count_categories=gathered(log["category"], counted),
        **counts,
        target_item_codes="target_item_codes",
    )


def gathered(values: pl.Series, places: pl.Series, factor: pl.Series | None = None) -> pl.Series:
    """Lists of places as lists of the values there: one flat gather, under the offsets that are there already."""
    where = places.to_arrow()
    flat = values.gather(pl.from_arrow(where.values))
    if factor is not None:
        flat = flat * factor
    return pl.from_arrow(pa.LargeListArray.from_arrays(where.offsets, flat.to_arrow()))


def owners(places: pl.Series) -> pl.Series:
    """The row that each entry of the lists belongs to."""
    return pl.int_range(len(places), eager=True).repeat_by(places.list.len()).explode(empty_as_null=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(json.dumps({}) + "\n")
