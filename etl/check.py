"""Is the configuration right, and do the source files hold what it says? Every problem at once, before anything runs.

Settings come first, then columns in the header of every file, then what the first rows hold under the mapping.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from contracts import config as settings
from contracts.config import Config, Table
from contracts.errors import ArtifactError, ConfigError
from etl import first_rows, source

_TABLES = ("events", "items", "users", "context")
#: While one of these is wrong, the files of a table cannot be looked into as they are meant.
_WAYS_IN = ("url", "columns", "format", "separator", "encoding", "quote", "quoted_newlines", "header", "nulls")


def run(path: str | Path) -> tuple[Config, int]:
    """A configuration that can be run, and the number of its mapped columns, all of which exist.

    Raises:
        ConfigError: listing every setting, file and column that is wrong, each with what to do.
    """
    config, problems, _ = settings.examine(path)
    wrong = {problem.partition(":")[0].partition("[")[0] for problem in problems}
    found = [problem for name in _TABLES for problem in _table_problems(config, name, wrong)]
    if problems or found:
        raise ConfigError(str(path), [*problems, *found])
    return config, sum(len(getattr(config.source, name).columns) for name in _TABLES)


def _table_problems(config: Config, name: str, wrong: set[str]) -> list[str]:
    """What is wrong with the files of one table; ``wrong`` are settings that were named already."""
    table: Table = getattr(config.source, name)
    where = f"source.{name}"
    if not table.url or wrong & {"source", where, *(f"{where}.{way}" for way in _WAYS_IN)}:
        return []
    try:
        files = source.locate(table.url)
    except ArtifactError as error:
        return [f"{where}.url: {error}"]
    problems = [problem for file in files for problem in _file_problems(where, table, file)]
    if problems:
        return problems
    try:
        return first_rows.problems(config, name, files, wrong)
    except ArtifactError as error:
        return [f"{where}.url: {error}"]


def _file_problems(where: str, table: Table, file: str) -> list[str]:
    """Columns that a file lacks, or has twice."""
    try:
        there = source.header(file, table)
    except ArtifactError as error:
        return [f"{where}.url: {error}"]
    problems = []
    for ours, theirs in table.columns.items() if there else ():  # JSON lines of an empty day have no fields
        if theirs and theirs not in there:
            near = difflib.get_close_matches(theirs, there, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(there)}"
            problems.append(f"{where}.columns.{ours}: {file} has no column {theirs!r}; {hint}")
        elif there.count(theirs) > 1:
            text = f"{file} has {there.count(theirs)} columns {theirs!r}; give them names of their own"
            problems.append(f"{where}.columns.{ours}: {text}")
    return problems
