"""The same outputs by hand in PySpark's DataFrame API, on two cores of one machine; no function of Python's own.

``python -m tests.benchmarks.etl.spark_peer SOURCE OUT``. Every window lies over the user's order, so that all of them
share one shuffle, and the decayed counts are forward-decayed running sums, as in the other scripts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 (as every Spark program calls it)

from tests.benchmarks.etl import case

#: Shuffled partitions: few, for two cores, but small enough for their windows to stay in memory.
PARTITIONS = 16
CORES, MEMORY = 2, "8g"


def session(scratch: Path) -> SparkSession:
    """Spark on this machine; what it spills goes to ``scratch``."""
    options = {
        "spark.driver.memory": MEMORY,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch),
        "spark.sql.shuffle.partitions": str(PARTITIONS),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "zstd",
    }
    builder = SparkSession.builder.master(f"local[{CORES}]").appName("bench-etl")
    return builder.config(map=options).getOrCreate()


def main(spark: SparkSession, source: Path, out: Path) -> None:
    valid_events(spark, source).write.parquet(str(out / "events.parquet"))
    events = spark.read.parquet(str(out / "events.parquet"))
    events = events.filter(F.col("event_type").isin(*case.INTERACTION_TYPES)).fillna("", ["region"])
    catalogue(events).coalesce(1).write.parquet(str(out / "vocabulary.parquet"))
    vocabulary = F.broadcast(spark.read.parquet(str(out / "vocabulary.parquet")))
    buckets(events, vocabulary).write.parquet(str(out / "buckets.parquet"))
    items = spark.read.parquet(str(source / "items.parquet")).select("item_id", "category").fillna("", ["category"])
    known = [row["category"] for row in items.select("category").distinct().collect()]
    categories = sorted({*known, ""})  # "" of items that the table lacks
    log = events.filter(F.col("event_time") < case.RETRIEVAL_END_MS).join(F.broadcast(items), "item_id", "left")
    log = log.fillna("", ["category"]).join(vocabulary, "item_id", "left")
    training_rows(history(log), categories).write.parquet(str(out / "rows.parquet"))


def valid_events(spark: SparkSession, source: Path) -> DataFrame:
    """The events that break no rule, each id once: the first by day, file and row."""

    def fits(name: str) -> Column:
        return F.length(name) <= case.MAX_ID_CHARS

    now = int(time.time() * 1000)
    value, quantity = F.col("value"), F.col("quantity")
    valid = (
        spark.read.parquet(str(source / "events"))
        .filter(fits("event_id") & fits("user_id") & fits("item_id") & F.col("event_type").isin(*case.EVENT_TYPES))
        .filter(F.coalesce(fits("session_id"), F.lit(True)) & F.coalesce(fits("region"), F.lit(True)))
        .filter(F.col("event_time").between(case.MIN_EVENT_TIME, now + case.MAX_AHEAD_MS))
        .filter(F.coalesce(quantity.between(case.MIN_QUANTITY, case.MAX_QUANTITY), F.lit(True)))
        .filter(F.coalesce((value >= 0) & (value < float("inf")), F.lit(True)))
    )
    place = (day(), F.col("_metadata.file_name"), F.col("_metadata.row_index"))
    nth = F.row_number().over(Window.partitionBy("event_id").orderBy(*place))
    return valid.withColumn("nth", nth).filter("nth = 1").select(*case.EVENT_COLUMNS)


def day() -> Column:
    return F.floor(F.col("event_time") / case.MS_PER_DAY)


def catalogue(events: DataFrame) -> DataFrame:
    """Items with enough interactions before the cut, and their codes."""
    counted = events.filter(F.col("event_time") < case.CUT_MS).groupBy("item_id").count()
    code = F.row_number().over(Window.orderBy(F.desc("count"), "item_id")) + (case.FIRST_CODE - 1)
    return counted.filter(F.col("count") >= case.MIN_ITEM_COUNT).select("item_id", code.alias("item_code"))


def buckets(events: DataFrame, vocabulary: DataFrame) -> DataFrame:
    """Interactions of catalogue items by day, region and item."""
    return events.join(vocabulary, "item_id").groupBy(day().alias("bucket"), "region", "item_code").count()


def history(log: DataFrame) -> DataFrame:
    """Interactions in the order of their user; ``place`` counts a user's from 0.

    ``new``: of an item that the user never met before. ``led``: the region that this interaction made the user's most
    frequent one. ``opens``: the first of its instant. ``session``: the place of the first of a session, else null.
    """
    in_time = ("event_time", "event_id")
    user = Window.partitionBy("user_id").orderBy(*in_time)
    before = user.rowsBetween(Window.unboundedPreceding, -1)
    here = F.row_number().over(Window.partitionBy("user_id", "region").orderBy(*in_time))
    gap = F.col("event_time") - F.lag("event_time").over(user)
    place = F.row_number().over(user) - 1
    return (
        log.repartition("user_id")
        .withColumn("new", F.row_number().over(Window.partitionBy("user_id", "item_id").orderBy(*in_time)) == 1)
        .withColumn("here", F.when(F.col("region") != "", here).otherwise(0))
        .withColumns({"place": place, "gap": gap, "most": F.max("here").over(before)})
        .withColumn("led", F.when(F.col("here") > F.coalesce("most", F.lit(0)), F.col("region")))
        .withColumn("opens", F.col("gap").isNull() | (F.col("gap") > 0))
        .withColumn("session", F.when(F.col("gap").isNull() | (F.col("gap") > case.SESSION_GAP_MS), F.col("place")))
    )


def training_rows(log: DataFrame, categories: list[str]) -> DataFrame:
    """Rows of window A: what was known strictly before every instant at which a catalogue item was new to its user."""
    user = Window.partitionBy("user_id").orderBy("event_time", "event_id")
    before = user.rowsBetween(Window.unboundedPreceding, -1)
    instant = Window.partitionBy("user_id", "event_time").orderBy("event_id")
    whole = instant.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    code = F.coalesce("item_code", F.lit(case.OUT_OF_VOCABULARY))
    target = F.when(F.col("new") & F.col("item_code").isNotNull(), F.struct("item_code", "region"))
    known = {
        "targets": F.collect_list(target).over(whole),
        "leader": F.last("led", ignorenulls=True).over(before),
        "last_time": F.lag("event_time").over(user),
        "session_place": F.max("session").over(before),
    }
    for name, column in (("item", F.col("item_id")), ("time", F.col("event_time")), ("code", code)):
        back = [F.lag(column, i).over(user) for i in range(1, case.RECENT_ITEMS + 1)]
        known |= {f"{name}_{i}": value for i, value in enumerate(back)}
    for hours in case.HALF_LIVES_HOURS:
        weighed = weight(F.col("event_time"), hours)
        for i, name in enumerate(categories):
            known[f"sum_{hours}h_{i}"] = F.sum(F.when(F.col("category") == name, weighed)).over(before)
    rows = log.withColumns(known).filter("opens and size(targets) > 0")
    rows = rows.withColumn("last_time", F.coalesce("last_time", F.lit(0)))
    rows = rows.withColumns({f"weight_{hours}h": weight(F.col("last_time"), hours) for hours in case.HALF_LIVES_HOURS})
    return rows.withColumn("counted", _counted(categories)).select(*_columns())


def _counted(categories: list[str]) -> Column:
    """Name and decayed counts of every category that was met: one filter, for Spark interprets its condition."""
    all_counts = [
        F.struct(
            F.lit(name).alias("name"),
            *((F.col(f"sum_{h}h_{i}") / F.col(f"weight_{h}h")).alias(f"at_{h}h") for h in case.HALF_LIVES_HOURS),
        )
        for i, name in enumerate(categories)
    ]
    return F.filter(F.array(*all_counts), lambda count: count[f"at_{case.HALF_LIVES_HOURS[0]}h"].isNotNull())


def _columns() -> list[Column]:
    """The rows' columns, out of those that the windows made."""
    place, last = F.col("place"), F.col("last_time")
    window = F.least(place, F.lit(case.RECENT_ITEMS))
    first = F.greatest("session_place", place - case.RECENT_ITEMS)
    in_session = F.when(place > 0, place - first).otherwise(0)
    recent = {
        name: F.slice(F.array(*(f"{name}_{i}" for i in range(case.RECENT_ITEMS))), 1, window)
        for name in ("item", "time", "code")
    }
    return [
        F.col("user_id"),
        F.col("event_time").alias("as_of"),
        F.col("targets")[0]["region"].alias("region"),
        F.coalesce("leader", F.lit("")).alias("home_region"),
        recent["item"].alias("recent_item_ids"),
        recent["time"].alias("recent_event_times"),
        recent["code"].alias("recent_item_codes"),
        place.alias("interaction_count"),
        last.alias("last_event_time"),
        F.when(place > 0, recent["time"][in_session - 1]).otherwise(0).alias("session_start_time"),
        in_session.alias("session_interactions"),
        F.col("counted")["name"].alias("count_categories"),
        *(F.col("counted")[f"at_{hours}h"].alias(f"category_counts_{hours}h") for hours in case.HALF_LIVES_HOURS),
        F.col("targets")["item_code"].alias("target_item_codes"),
    ]


def weight(instant: Column, hours: int) -> Column:
    """What an interaction of an instant weighs, were all weighed at the log's first."""
    return F.pow(F.lit(2.0), (instant - case.FIRST_MS) / (hours * case.MS_PER_HOUR))


if __name__ == "__main__":
    started = time.monotonic()
    out = Path(sys.argv[2])
    spark = session(out / "spill")
    start = time.monotonic() - started
    main(spark, Path(sys.argv[1]), out)
    spark.stop()
    sys.stdout.write(json.dumps({"cluster_seconds": start}) + "\n")
