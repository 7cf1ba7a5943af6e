"""Do the source files have the columns that the configuration names? Every problem at once, before anything runs."""

from __future__ import annotations

import difflib

from contracts.config import Config
from contracts.errors import ArtifactError, ConfigError
from etl import source


def columns(config: Config, origin: str) -> int:
    """Number of mapped columns, all of which exist.

    Raises:
        ConfigError: listing every table and column that is not there.
    """
    problems, count = [], 0
    for name in ("events", "items", "users"):
        table = getattr(config.source, name)
        where = f"source.{name}"
        if not table.url:
            continue
        try:
            there = source.columns(table.url)
        except ArtifactError as error:
            problems.append(f"{where}.url: {error}")
            continue
        for ours, theirs in table.columns.items():
            count += 1
            if theirs not in there:
                near = difflib.get_close_matches(theirs, there, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(there)}"
                problems.append(f"{where}.columns.{ours}: {table.url} has no column {theirs!r}; {hint}")
    if problems:
        raise ConfigError(origin, problems)
    return count
