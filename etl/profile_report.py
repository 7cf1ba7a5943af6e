"""The profile of a run: ``profile.json`` for programs and the next run, ``profile.html`` for people.

``write`` takes one document of what the run knows::

    name, run, made_at        of the data set, of the run, and when (texts)
    counts                    {"rows_in", "processed", "quarantined", "held", "dropped"}: rows
    quarantined_by_reason     {reason: rows}
    quarantined_by_day        {day: {reason: rows}}, a day being YYYY-MM-DD or "unknown"
    days                      {day: summary} (etl.summary), held days included
    held                      {day: [reason, …]}
    examples                  {reason: a refused row as a dict}
    previous                  the summary of the last run (``previous``), or None
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import fsspec

from contracts import artifacts
from etl import drift, profile_page, summary

JSON_FILE, HTML_FILE = "profile.json", "profile.html"
#: Most letters of a value of an example.
_MOST_LETTERS = 200


def write(folder_url: str, profile: Mapping[str, Any]) -> dict[str, Any]:
    """Write both files into a folder; returns what ``profile.json`` holds."""
    made = document(profile)
    filesystem, path = fsspec.core.url_to_fs(f"{folder_url}/{HTML_FILE}")
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, profile_page.page(made).encode())
    artifacts.write_json(f"{folder_url}/{JSON_FILE}", made)
    return made


def previous(folder_url: str) -> dict[str, Any] | None:
    """The summary that the last run left in a folder, to be told the drift against; None before the first.

    Raises:
        ArtifactError: when the file is there and is not JSON.
    """
    if not artifacts.exists(f"{folder_url}/{JSON_FILE}"):
        return None
    return artifacts.read_json(f"{folder_url}/{JSON_FILE}").get("summary")


def document(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What ``profile.json`` holds: the texts and counts as they came, figures, drift and a summary.

    - ``figures`` (``etl.summary.figures``) of all days that were not held, and of every day without its ids (``days``),
    - ``summary``: that of the days that were not held, which merges and is the next run's ``previous``,
    - ``drift``: {field: {"psi", "word"}} against the last run, or None.
    """
    days, held = profile["days"], profile["held"]
    whole = summary.merged([days[day] for day in sorted(days) if day not in held])
    moved = None
    if profile["previous"] is not None:
        found = drift.drift(whole, profile["previous"])
        moved = {name: {"psi": index, "word": drift.word(index)} for name, index in found.items()}
    same = ("name", "run", "made_at", "counts", "quarantined_by_reason", "quarantined_by_day", "held")
    return {
        **{name: profile[name] for name in same},
        "examples": {
            reason: {name: _plain(value) for name, value in row.items()} for reason, row in profile["examples"].items()
        },
        "days": {day: summary.figures(summary.slim(days[day])) for day in sorted(days)},
        "figures": summary.figures(whole),
        "drift": moved,
        "summary": whole,
    }


def _plain(value: Any) -> Any:
    """A value of a row as JSON can hold it, long texts cut."""
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = str(value)
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
