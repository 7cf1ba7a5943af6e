"""Why a day is suspicious: what moved against the days before it, in sentences with the numbers.

A broken sender or a lost partition shows in how many rows there are, in how many of them lack a field, or in which
values a field has, though every single row may be right. The bounds are ``contracts.config.QualitySettings``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from contracts.config import QualitySettings
from etl import drift, summary

#: A shift of values must exceed what is usual of a single day by this factor.
BEYOND_USUAL = 2.0


def reasons(
    day: Mapping[str, Any], before: Sequence[Mapping[str, Any]], settings: QualitySettings, running: bool = False
) -> list[str]:
    """Why ``day`` should be held back; an empty list lets it pass.

    Args:
        day: the day's summary (``etl.summary``; a slim one will do).
        before: summaries of the days before it, oldest first, those held back left out; the last
            ``hold_history_days`` of them count.
        settings: how many days of history it takes, and how far a day may be from them.
        running: whether it is the newest day, which may not be over: too few rows are then judged by what the days
            before had at its last hour.
    """
    before = before[-settings.hold_history_days :]
    if len(before) < settings.hold_history_days:
        return []
    usual = median(each["rows"] for each in before)
    if usual < settings.hold_min_rows:
        return []
    found = _volume(day, before, usual, settings, running)
    if day["rows"] < settings.hold_min_rows:
        return found
    past = summary.merged([summary.slim(each) for each in before])
    for name, now in day["fields"].items():
        then = past["fields"][name]
        found += _nulls(name, now["nulls"] / day["rows"], then["nulls"] / past["rows"], settings.hold_null_shift)
        present = [side["rows"] - side["fields"][name]["nulls"] for side in (day, past)]
        if name in summary.FEW and min(present) >= settings.hold_min_rows:
            chance = BEYOND_USUAL * max(1.0, usual / day["rows"])  # fewer rows vary more
            singly = [each["fields"][name] for each in before]
            found += _values(name, now, then, singly, (settings.hold_category_psi, chance))
    return found


def _volume(
    day: Mapping[str, Any],
    before: Sequence[Mapping[str, Any]],
    usual: float,
    settings: QualitySettings,
    running: bool,
) -> list[str]:
    rows, ratio, when = day["rows"], settings.hold_volume_ratio, f"{len(before)} days before"
    if rows > usual * ratio:
        return [f"rows: {rows:,} where the {when} had {usual:,.0f} at the median (more than {ratio:g} times as many)"]
    if running:
        hours = 24 - next((i for i, count in enumerate(reversed(day["hours"])) if count), 24)
        usual, when = median(sum(each["hours"][:hours]) for each in before), f"{when}, by {hours:02d}:00,"
        if usual < settings.hold_min_rows:
            return []
    if rows >= usual / ratio:
        return []
    return [f"rows: {rows:,} where the {when} had {usual:,.0f} at the median (less than 1/{ratio:g})"]


def _nulls(name: str, now: float, then: float, most: float) -> list[str]:
    if abs(now - then) <= most:
        return []
    return [f"{name}: {now:.1%} are null where the days before had {then:.1%} (moved by more than {most:.0%})"]


def _values(
    name: str,
    day: Mapping[str, Any],
    past: Mapping[str, Any],
    singly: Sequence[Mapping[str, Any]],
    bounds: tuple[float, float],
) -> list[str]:
    """A shift beyond the setting (``bounds[0]``) and beyond what single days do anyway, times ``bounds[1]``.

    Of hundreds of stores, each with a few baskets a day, most come and go by chance.
    """
    sides = drift.shares(day, past)
    index = drift.psi(*sides)
    if index <= bounds[0]:
        return []
    usual = median(drift.psi(*drift.shares(then, past)) for then in singly)
    if index <= bounds[1] * usual:
        return []
    moved = sides[0] / sides[0].sum() - sides[1] / sides[1].sum()
    furthest = int(abs(moved).argmax())
    value = [*drift.named(day, past), "all others"][furthest]
    shares = " where the days before had ".join(f"{side[furthest] / side.sum():.1%}" for side in sides)
    return [
        f"{name}: its values moved by a stability index of {index:.2f} (more than {bounds[0]:g}; "
        f"a single day has {usual:.2f}): {value} has {shares}"
    ]
