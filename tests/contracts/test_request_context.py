"""The context of a request: by whose clock, on the log's own days, and the same for one request and for many."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.features import MS_PER_DAY, MS_PER_HOUR
from contracts.request_context import COLUMNS, FIXED, Clock, raw_values

ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
#: From 1970 to 2040.
INSTANTS = st.integers(0, 70 * 365 * MS_PER_DAY)


@given(st.lists(INSTANTS, max_size=5), st.sampled_from(ZONES), st.integers(-4000, 4000))
def test_hour_and_weekday_are_those_of_the_zones_calendar_on_the_logs_own_day(
    instants: list[int], zone: str, days: int
) -> None:
    clock = Clock(zone, days * MS_PER_DAY)
    shifted = [instant + days * MS_PER_DAY for instant in instants]
    found = raw_values(("hour", "weekday"), [""] * len(instants), shifted, clock)
    local = [datetime.fromtimestamp(ms / 1000, timezone.utc).astimezone(ZoneInfo(zone)) for ms in instants]
    assert found["hour"].tolist() == [str(each.hour) for each in local]
    assert found["weekday"].tolist() == [f"{each:%A}".lower() for each in local]


def test_an_hour_that_comes_twice_in_autumn_is_one_and_the_one_left_out_in_spring_is_none() -> None:
    clock = Clock("Europe/Paris", 0)
    autumn, spring = (
        int(datetime(2025, month, day, tzinfo=timezone.utc).timestamp() * 1000) for month, day in ((10, 26), (3, 30))
    )
    hours = [
        raw_values(("hour",), [""] * 3, night + np.arange(3) * MS_PER_HOUR, clock)["hour"] for night in (autumn, spring)
    ]
    assert [each.tolist() for each in hours] == [["2", "2", "3"], ["1", "3", "4"]]


def test_the_region_is_the_one_that_was_handed_over_and_only_what_is_asked_for_is_told() -> None:
    clock = Clock("UTC", 0)
    assert raw_values((), ["a"], [0], clock) == {}
    assert raw_values(("region",), ["a", ""], [0, 0], clock)["region"].tolist() == ["a", ""]
    assert [*raw_values(COLUMNS, ["a"], [0], clock)] == [*COLUMNS]


@pytest.mark.parametrize("name", [*FIXED])
def test_every_value_of_a_week_is_in_the_vocabulary_that_is_known_beforehand(name: str) -> None:
    week = np.arange(7 * 24) * MS_PER_HOUR
    assert {*raw_values((name,), [""] * len(week), week, Clock("UTC", 0))[name]} == {*FIXED[name]}


@pytest.mark.parametrize("zone", ZONES)
def test_the_changes_of_a_clock_tell_every_hour_without_its_zone(zone: str) -> None:
    """What a release says of its clock to whoever has no table of zones."""
    clock = Clock(zone, 0)
    since, ahead = np.array(clock.changes()).T
    instants = np.random.default_rng(0).integers(0, 70 * 365 * MS_PER_DAY, 2000)
    local = instants + ahead[np.searchsorted(since, instants, side="right") - 1]
    assert (local // MS_PER_HOUR).tolist() == clock.hours(instants).tolist()
