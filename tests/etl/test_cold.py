"""Requests as if little were known of a user."""

from __future__ import annotations

import pandas as pd

from contracts import artifacts
from contracts.evaluation import COLD_STEPS, Kind
from tests.etl.conftest import CUT_MS, Runs
from tests.etl.views import assert_views, home_region


def test_a_cold_request_knows_the_newest_interactions_of_a_user_under_an_id_nobody_knows(
    runs: Runs, log: pd.DataFrame
) -> None:
    requests, settings = runs.frame("base", "features/requests.parquet"), runs.config("base").features
    cold, warm = (requests[requests["kind"] == kind].set_index("request_id") for kind in (Kind.COLD, Kind.TEST))
    before = log[log["event_time"] < CUT_MS].sort_values(["event_time", "event_id"])
    enough = before["user_id"].value_counts().loc[lambda n: n >= max(COLD_STEPS)]
    assert set(cold.index) == {f"cold:{n}:{user}" for n in COLD_STEPS for user in enough.index}
    assert not set(cold["user_id"]) & set(log["user_id"])
    for request_id, row in cold.sample(60, random_state=0).iterrows():
        _, known, user = request_id.split(":")
        assert row.known_events == int(known) == row.interaction_count
        past = before[before["user_id"] == user].tail(int(known))
        row.home_region, home = home_region(past), row.home_region
        assert_views(row, past, settings, seen=True)
        other = warm.loc[user]
        assert (home, row.life_stage, row.income) == (other.home_region, other.life_stage, other.income)
        assert list(row.exclude_item_ids) == list(other.seen_item_ids)
    truth = runs.frame("base", "features/truth.parquet").set_index("request_id")["item_ids"].map(list)
    for request_id in cold.index:
        assert truth.get(request_id) == truth.get(request_id.split(":")[2])


def test_the_rehearsal_asks_the_same_at_the_beginning_of_window_c(runs: Runs, log: pd.DataFrame) -> None:
    rows, settings = runs.frame("base", "features/rows/window=cold"), runs.config("base").features
    start = artifacts.read_manifest(runs.zones("base").processed)["ranker_end"]
    before = log[log["event_time"] < start].sort_values(["event_time", "event_id"])
    within = log[(log["event_time"] >= start) & (log["event_time"] < CUT_MS)]
    assert rows["row_id"].is_unique and (rows["as_of"] == start).all() and len(rows) > len(COLD_STEPS)
    assert not set(rows["user_id"]) & set(log["user_id"])
    for _, row in rows.sample(60, random_state=0).iterrows():
        own = before[before["user_id"] == row.person]
        assert len(own) >= max(COLD_STEPS) and row.known_events == row.interaction_count
        past = own.tail(row.known_events)
        row.home_region, home = home_region(past), row.home_region
        assert_views(row, past, settings, seen=True)
        assert home == home_region(own)
        assert set(row.exclude_item_ids) == set(own["item_id"])
        taken = within[within["user_id"] == row.person]["item_id"]
        assert 0 < len(row.target_item_codes) <= len(set(taken) - set(own["item_id"]))
