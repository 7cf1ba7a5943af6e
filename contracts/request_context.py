"""What a request says beside who asks: its region, and the hour and weekday of its instant, as categorical columns.

Derived here for training rows and for requests alike. ``features.context`` names the columns that the query tower
takes, and ``features.timezone`` whose clock is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import numpy as np

#: Columns whose values are known beforehand, by code from ``FIRST_VALUE`` on; those of a region are counted in the log.
FIXED = {
    "hour": tuple(map(str, range(24))),
    "weekday": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
}
COLUMNS = ("region", *FIXED)

_MS_PER_HOUR = 3_600_000
#: Clocks are set at whole quarters of an hour.
_MS_PER_QUARTER = 900_000
_QUARTERS_A_DAY = 96
#: 1970-01-01, hour 0 of the epoch, was a Thursday.
_FIRST_WEEKDAY = 3


class Clock:
    """A time zone's, read in the log's own time: a log whose times are shifted keeps its days of the week."""

    def __init__(self, zone: str, shift_ms: int):
        """Of a name such as "Europe/Paris", and of how far all times of the log are shifted, ms."""
        self._zone, self._shift = ZoneInfo(zone), shift_ms

    def hours(self, as_of: np.ndarray) -> np.ndarray:
        """Whole hours on this clock since 1970-01-01, int64 of the shape of ``as_of`` (ms)."""
        quarters, place = np.unique((as_of - self._shift) // _MS_PER_QUARTER, return_inverse=True)
        local = [quarter * _MS_PER_QUARTER + self._ahead_ms(quarter) for quarter in quarters.tolist()]
        return np.array(local, np.int64)[place].reshape(as_of.shape) // _MS_PER_HOUR

    def changes(self) -> list[tuple[int, int]]:
        """When it was set and will be, 1970 to 2100: instants, and how far it is ahead of UTC from then on, ms."""
        days = range(0, 130 * 366 * _QUARTERS_A_DAY, _QUARTERS_A_DAY)
        found = [(0, self._ahead_ms(0))]
        for day, next_day in zip(days, days[1:]):
            if self._ahead_ms(next_day) != found[-1][1]:
                changed = [quarter for quarter in range(day, next_day + 1) if self._ahead_ms(quarter) != found[-1][1]]
                found.append((changed[0] * _MS_PER_QUARTER, self._ahead_ms(changed[0])))
        return found

    def _ahead_ms(self, quarter: int) -> int:
        """How far the clock is ahead of UTC."""
        instant = datetime.fromtimestamp(quarter * _MS_PER_QUARTER / 1000, timezone.utc)
        ahead = instant.astimezone(self._zone).utcoffset()
        assert ahead is not None
        return round(ahead.total_seconds() * 1000)


def raw_values(
    columns: Sequence[str], regions: Sequence[str] | np.ndarray, as_of: Sequence[int] | np.ndarray, clock: Clock
) -> dict[str, np.ndarray]:
    """Raw values of some ``COLUMNS``, object ``[n]`` of strings; "" is no region.

    Args:
        columns: which.
        regions: of each request, or else the user's home.
        as_of: instants, ms.
        clock: whose hours and days.

    Example:
        >>> raw_values(("hour", "weekday"), [""], [0], Clock("Europe/Paris", 0))
        {'hour': array(['1'], dtype=object), 'weekday': array(['thursday'], dtype=object)}
    """
    numbers = clock.hours(np.asarray(as_of, np.int64)) if {*columns} & {*FIXED} else np.empty(0, np.int64)
    places = {"hour": numbers % 24, "weekday": (numbers // 24 + _FIRST_WEEKDAY) % 7}
    return {
        name: np.array(FIXED[name], object)[places[name]] if name in FIXED else np.asarray(regions, object)
        for name in columns
    }
