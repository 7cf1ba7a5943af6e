"""Every raw row in exactly one place: over many runs, across kills, with live records and held days."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contracts.config import QualitySettings
from contracts.errors import ArtifactError
from etl import cluster, intake, ledger, processed, quarantine, stage, store
from etl.cluster import Session
from tests.etl.lake import START_MS, Lake, configuration, events, small_batches


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with cluster.connect("", rows=0) as session:
        yield session


@pytest.fixture
def lake(tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch) -> Lake:
    small_batches(monkeypatch)
    return Lake(tmp_path, configuration(tmp_path / "source", days=6), session)


def with_rules(lake: Lake, **rules: Any) -> Lake:
    quality = dataclasses.replace(QualitySettings(), **rules)
    return dataclasses.replace(lake, config=dataclasses.replace(lake.config, quality=quality))


def again(lake: Lake, reason: str = "", day: str = "") -> dict[str, int]:
    """What ``etl quarantine replay`` does."""
    book = quarantine.open_book(lake.config, lake.zone)
    quarantine.replay(book, lake.config, lake.zone, lake.session, lake.said.append, reason, day)
    processed.publish(lake.config, lake.zone, book)
    return lake.counts()


def test_a_second_run_takes_in_only_new_files_and_ends_where_one_run_would(lake: Lake, tmp_path: Path) -> None:
    days = [events(day) for day in range(8)]
    lake.add("a", *days[:6])
    assert lake.run() == {"rows_in": 240, "events": 240, "quarantined": 0, "held": 0, "dropped": 0}
    assert not stage.look(lake.config, lake.zone, False, "").some
    # The new file sorts before the old one: names and order of files must not change what is known already.
    lake.add("0", days[6], days[7], days[2].head(5))
    news = stage.look(lake.config, lake.zone, False, "")
    assert {piece.url.rpartition("/")[2] for piece in news.pieces} == {"0.parquet"}
    assert lake.run() == {"rows_in": 325, "events": 320, "quarantined": 5, "held": 0, "dropped": 0}
    assert set(lake.refused()["reason"]) == {"duplicate"} and set(lake.refused()["source"]) == {"history:0.parquet"}
    alone = dataclasses.replace(lake, folder=tmp_path / "alone", config=lake.config)
    alone.run()
    columns = ["event_id", "event_time", "user_id", "item_id"]
    assert alone.events()[columns].equals(lake.events()[columns])


def test_a_file_that_changed_takes_everything_in_anew_and_one_that_is_gone_stays_known(lake: Lake) -> None:
    lake.add("a", *[events(day) for day in range(4)])
    lake.add("b", *[events(day) for day in range(4, 6)])
    lake.run()
    (lake.folder / "source/a.parquet").unlink()
    assert not stage.look(lake.config, lake.zone, False, "").some, "a file that was moved away changes nothing"
    lake.add("b", events(4), events(5), events(6))
    assert stage.look(lake.config, lake.zone, False, "").anew
    assert lake.run()["events"] == 280
    assert set(lake.events()["event_id"].str[:4]) == {f"d{day:03d}" for day in range(7)}


@pytest.mark.parametrize("step", ["duplicates.merge", "ledger.commit", "processed.publish"])
def test_a_run_that_dies_at_any_step_is_as_if_it_had_not_been(
    lake: Lake, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.add("a", *[events(day) for day in range(6)])
    lake.run()
    lake.add("b", events(6), events(7, event_id=events(6)["event_id"]))
    with monkeypatch.context() as broken:
        module, name = step.split(".")
        holder = {"duplicates": intake.duplicates, "ledger": ledger, "processed": stage.processed}[module]
        broken.setattr(holder, name, _dies)
        with pytest.raises(RuntimeError, match="killed"):
            lake.run()
    with pytest.raises(ArtifactError, match="has not finished"):
        stage.artifacts.read_manifest(lake.zone.processed)
    assert lake.run() == {"rows_in": 320, "events": 280, "quarantined": 40, "held": 0, "dropped": 0}


def _dies(*_: Any, **__: Any) -> None:
    raise RuntimeError("killed")


def test_live_records_of_closed_days_are_taken_in_once_whatever_becomes_of_their_files(lake: Lake) -> None:
    lake.add("a", *[events(day) for day in range(6)])
    one, two = events(6).head(25), events(6).tail(15)
    parts = [lake.live("2024-03-07", 0, one), lake.live("2024-03-07", 25, two)]
    lake.live("2024-03-08", 40, events(7))
    assert lake.run(before="day=2024-03-08")["events"] == 280
    # The lake writer merges the day's files: their records are not new.
    for part in parts:
        Path(part).unlink()
    lake.live("2024-03-07", 0, events(6))
    assert not stage.look(lake.config, lake.zone, False, "day=2024-03-08").some
    # A late arrival of an older event, a repeat, and a broken one.
    lake.live("2024-03-08", 80, pd.concat([events(2, 50).tail(10), events(0).head(3), events(3, 1, quantity=500)]))
    found = lake.run(before="day=9999")
    assert found == {"rows_in": 334, "events": 330, "quarantined": 4, "held": 0, "dropped": 0}
    refused = lake.refused()
    assert refused["reason"].tolist() == ["duplicate"] * 3 + ["quantity_out_of_range"]
    assert refused["offset"].tolist() == [90, 91, 92, 93] and set(refused["source"]) == {"topic:events/p0/" + "a" * 32}


def test_a_live_file_that_was_merged_meanwhile_is_named_and_the_next_run_takes_its_records(lake: Lake) -> None:
    lake.add("a", *[events(day) for day in range(6)])
    part = lake.live("2024-03-07", 0, events(6).head(25))
    news = stage.look(lake.config, lake.zone, False, "day=9999")
    Path(part).unlink()
    lake.live("2024-03-07", 0, events(6))
    with pytest.raises(ArtifactError, match="went while it was read"):
        stage.take_in(lake.config, lake.zone, news, lake.session, lake.said.append)
    assert lake.run(before="day=9999")["events"] == 280


def suspicious(lake: Lake) -> Lake:
    """Days of 40 rows, of which the fifth lost nearly all and the sixth its regions."""
    lake = with_rules(lake, hold_history_days=3, hold_min_rows=20)
    days = [events(day) for day in range(8)]
    days[4] = days[4].head(3)
    days[5] = days[5].assign(region=None)
    lake.add("a", *days)
    return lake


def test_a_suspicious_day_is_held_back_whole_and_said_so(lake: Lake) -> None:
    lake = suspicious(lake)
    assert lake.run() == {"rows_in": 283, "events": 240, "quarantined": 0, "held": 43, "dropped": 0}
    assert not set(lake.events()["event_id"].str[:4]) & {"d004", "d005"}
    held = quarantine.summary(quarantine.open_book(lake.config, lake.zone))["held_days"]
    assert list(held) == ["history/day=2024-03-05", "history/day=2024-03-06"]
    assert (
        held["history/day=2024-03-05"]["rows"] == 3 and "rows: 3 where" in held["history/day=2024-03-05"]["reasons"][0]
    )
    assert "region" in held["history/day=2024-03-06"]["reasons"][0]
    assert sum("ALERT: history/day=2024-03-06" in line for line in lake.said) == 1
    # A copy of a held event is no duplicate: the held one counts for nothing yet.
    lake.add("b", events(4))
    assert lake.run() == {"rows_in": 323, "events": 280, "quarantined": 0, "held": 43, "dropped": 0}
    # Still too few: they are held with the others.
    lake.add("c", events(8).head(2), events(9))
    assert lake.run()["held"] == 45


def test_a_held_day_can_be_released_or_dropped(lake: Lake) -> None:
    lake = suspicious(lake)
    lake.run()
    book = quarantine.open_book(lake.config, lake.zone)
    name = "history/day=2024-03-06"
    quarantine.release(book, lake.config, lake.zone, lake.session, lake.said.append, name)
    processed.publish(lake.config, lake.zone, book)
    assert lake.counts() == {"rows_in": 283, "events": 280, "quarantined": 0, "held": 3, "dropped": 0}
    quarantine.drop(book, lake.zone, "", "history/day=2024-03-05")
    processed.publish(lake.config, lake.zone, book)
    assert lake.counts() == {"rows_in": 283, "events": 280, "quarantined": 0, "held": 0, "dropped": 3}
    with pytest.raises(ArtifactError, match="not held back; held: nothing"):
        quarantine.release(book, lake.config, lake.zone, lake.session, lake.said.append, name)
    # Taking everything in anew remembers what a person let pass.
    assert lake.run(force=True)["held"] == 3


def test_replay_after_a_fix_brings_rows_in_exactly_once(lake: Lake) -> None:
    strict = with_rules(lake, ranges={"value": (0.0, 10.0)})
    days = [events(day) for day in range(6)]
    days[3].loc[:9, "value"] = 99.0
    days[4].loc[:4, "quantity"] = 500
    strict.add("a", *days)
    assert strict.run() == {"rows_in": 240, "events": 225, "quarantined": 15, "held": 0, "dropped": 0}
    assert again(strict) == strict.counts(), "the same rules give the same verdict"
    fixed = with_rules(lake, ranges={"value": (0.0, 100.0)})
    assert again(fixed, reason="quantity_out_of_range")["quarantined"] == 15
    assert again(fixed) == {"rows_in": 240, "events": 235, "quarantined": 5, "held": 0, "dropped": 0}
    assert again(fixed) == fixed.counts()
    assert len(fixed.events()) == 235 and (fixed.events()["value"] == 99).sum() == 10
    # Sent again by the source meanwhile: the replayed copy of what is there already stays out.
    fixed.add("b", days[4].assign(quantity=1).head(5))
    assert fixed.run()["events"] == 240
    assert again(fixed)["quarantined"] == 5


@pytest.mark.parametrize("step", ["duplicates.merge", "ledger.commit"])
def test_a_replay_that_dies_changes_nothing_and_the_next_one_does_it_all(
    lake: Lake, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = with_rules(lake, ranges={"value": (0.0, 1.0)})
    strict.add("a", *[events(day, value=float(day % 3)) for day in range(7)])
    assert strict.run()["quarantined"] == 80
    fixed = with_rules(lake)
    with monkeypatch.context() as broken:
        module, name = step.split(".")
        broken.setattr({"duplicates": intake.duplicates, "ledger": ledger}[module], name, _dies)
        with pytest.raises(RuntimeError, match="killed"):
            again(fixed)
    assert again(fixed) == {"rows_in": 280, "events": 280, "quarantined": 0, "held": 0, "dropped": 0}


def test_dropped_rows_leave_quarantine_by_reason_and_by_day(lake: Lake) -> None:
    days = [events(day) for day in range(6)]
    days[3].loc[:9, "quantity"] = 500
    days[4].loc[:9, "quantity"] = 500
    days[4].loc[10:14, "value"] = -1.0
    lake.add("a", *days)
    lake.run()
    book = quarantine.open_book(lake.config, lake.zone)
    shown = quarantine.show(book, lake.zone, "negative_value", "", 3)
    assert len(shown) == 3 and {row["reason"] for row in shown} == {"negative_value"}
    assert quarantine.summary(book)["refused"] == {
        "day=2024-03-04": {"quantity_out_of_range": 10},
        "day=2024-03-05": {"negative_value": 5, "quantity_out_of_range": 10},
    }
    quarantine.drop(book, lake.zone, "quantity_out_of_range", "2024-03-05")
    processed.publish(lake.config, lake.zone, book)
    assert lake.counts() == {"rows_in": 240, "events": 215, "quarantined": 15, "held": 0, "dropped": 10}
    assert lake.refused()["reason"].value_counts().to_dict() == {"quantity_out_of_range": 10, "negative_value": 5}


def test_two_commands_at_once_are_refused(lake: Lake) -> None:
    lake.add("a", *[events(day) for day in range(6)])
    with ledger.locked(lake.zone), pytest.raises(ArtifactError, match="another etl command"), ledger.locked(lake.zone):
        pass
    lake.run()


def test_a_ledger_that_does_not_add_up_is_not_committed(lake: Lake) -> None:
    lake.add("a", *[events(day) for day in range(6)])
    lake.run()
    book = quarantine.open_book(lake.config, lake.zone)
    book.rows += 1
    with pytest.raises(ArtifactError, match="expected rows_in = events"):
        ledger.commit(book, lake.zone)
    assert quarantine.open_book(lake.config, lake.zone).rows == 240


def test_an_out_of_order_row_is_refused_however_the_file_is_cut(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = with_rules(lake, max_disorder_hours=48)
    lake.add("a", *[events(day) for day in range(6)], events(1, 5, event_id=[f"late-{i}" for i in range(5)]))
    assert lake.run()["quarantined"] == 5
    assert set(lake.refused()["reason"]) == {"out_of_order"}
    monkeypatch.setattr("etl.ingest.PIECE_ROWS", 241)
    assert lake.run(force=True)["quarantined"] == 5


def test_every_event_says_where_it_came_from(lake: Lake) -> None:
    lake.add("a", *[events(day) for day in range(6)])
    lake.run()
    found = lake.events().set_index("event_id")
    assert set(found["source"]) == {"history:a.parquet"}
    assert found.loc["d002-0003", "offset"] == 83
    assert store.count(str(next(Path(f"{lake.zone.raw}/history/day=2024-03-01").glob("*.parquet")))) > 0
    assert found["event_time"].min() == START_MS
