"""A made-up shop of a few days as files, its configuration, and runs of the part of the stage that takes rows in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from contracts import artifacts
from contracts.config import Config, parse
from etl import admission, ledger, quarantine, stage, store
from etl.cluster import Session

DAY_MS = 86_400_000
START_MS = 1_709_251_200_000  # 2024-03-01
FIELDS = ("event_id", "event_type", "event_time", "user_id", "item_id", "region", "quantity", "value")


def events(day: int, rows: int = 40, **columns: Any) -> pd.DataFrame:
    """Good purchases of one day: ids that tell day and row, columns overridden by name."""
    frame = pd.DataFrame(
        {
            "event_id": [f"d{day:03d}-{i:04d}" for i in range(rows)],
            "event_type": "purchase",
            "event_time": [START_MS + day * DAY_MS + 1_000 * i for i in range(rows)],
            "user_id": [f"u{i % 7}" for i in range(rows)],
            "item_id": [f"i{i % 11}" for i in range(rows)],
            "region": ["north" if i % 3 else "south" for i in range(rows)],
            "quantity": 1,
            "value": 2.5,
        }
    )
    return frame.assign(**columns)


def configuration(folder: Path, days: int, **quality: Any) -> Config:
    """A data set of the parquet files in ``folder``, whose windows end at the last of ``days``."""
    date = pd.Timestamp(START_MS, unit="ms") + pd.to_timedelta([days - 3, days - 2, days - 1], "D")
    retrieval_end, ranker_end, cut = date.strftime("%Y-%m-%d")
    return parse(
        {
            "name": "lake",
            "source": {
                "events": {"url": f"{folder}/*.parquet", "columns": {name: name for name in FIELDS}},
                "items": {"url": f"{folder}/items.csv", "columns": {"item_id": "item_id", "kind": "kind"}},
                "users": {"url": "", "columns": {}},
            },
            "features": {
                "user_categorical": [],
                "item_categorical": ["kind"],
                "item_numeric": [],
                "category": "kind",
                "min_item_count": 1,
            },
            "windows": {"retrieval_end": retrieval_end, "ranker_end": ranker_end, "cut": cut},
            "train": {},
            "serve": {},
            "quality": quality,
        },
        "lake",
    )


@dataclasses.dataclass
class Lake:
    """A data set under a folder: its source files, its zones, and what was said of it."""

    folder: Path
    config: Config
    session: Session
    said: list[str] = dataclasses.field(default_factory=list)

    @property
    def zone(self) -> artifacts.Zones:
        return artifacts.zones(str(self.folder / "root"), self.config)

    def add(self, name: str, *frames: pd.DataFrame) -> None:
        """A source file of these rows."""
        source = self.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "items.csv").write_text("item_id,kind\n" + "".join(f"i{i},k{i % 3}\n" for i in range(11)))
        pd.concat(frames).to_parquet(source / f"{name}.parquet")

    def run(self, before: str = "", force: bool = False) -> dict[str, int]:
        """Take in what is new (live records of days of arrival below ``before``); rows by where they are."""
        news = stage.look(self.config, self.zone, force, before)
        stage.take_in(self.config, self.zone, news, self.session, self.said.append)
        return self.counts()

    def counts(self) -> dict[str, int]:
        """Rows by where they are: in the ledger and, which must be the same, on disk."""
        book = quarantine.open_book(self.config, self.zone)
        counts = book.counts()
        assert counts["rows_in"] == sum(counts.values()) - counts["rows_in"]
        on_disk = {
            "events": _rows(f"{self.zone.processed}/{ledger.EVENTS}"),
            "quarantined": _rows(f"{self.zone.quarantine}/{ledger.REFUSED}"),
            "held": _rows(f"{self.zone.quarantine}/{ledger.HELD}"),
        }
        assert {name: counts[name] for name in on_disk} == on_disk
        manifest = artifacts.read_manifest(self.zone.processed)
        assert {name: manifest[name] for name in counts} == counts
        return counts

    def events(self) -> pd.DataFrame:
        """The processed events by id; each once."""
        found = store.read(f"{self.zone.processed}/{ledger.EVENTS}").to_pandas()
        assert found["event_id"].is_unique
        return found.sort_values("event_id", ignore_index=True)

    def refused(self) -> pd.DataFrame:
        """The refused rows by source and offset."""
        found = store.read(f"{self.zone.quarantine}/{ledger.REFUSED}").to_pandas()
        return found.sort_values(["source", "offset"], ignore_index=True)

    def live(self, day: str, first: int, frame: pd.DataFrame, incarnation: str = "a" * 32, partition: int = 0) -> str:
        """A file as the lake writer leaves it: records from offset ``first`` on."""
        rows = frame.assign(partition=partition, offset=range(first, first + len(frame)), incarnation=incarnation)
        name = f"p{partition:03d}-{incarnation}-{first:012d}-{first + len(frame) - 1:012d}.parquet"
        url = f"{self.zone.raw}/live/day={day}/hour=07/{name}"
        store.write(pa.Table.from_pandas(rows, preserve_index=False), url)
        return url


def _rows(folder: str) -> int:
    return sum(store.count(str(path)) for path in Path(folder).rglob("*.parquet"))


def small_batches(patch: Any) -> None:
    """Cut everything finely, so that a few rows make many tasks."""
    patch.setattr("etl.ingest.PIECE_ROWS", 70)
    patch.setattr(admission, "ROWS", 50)
