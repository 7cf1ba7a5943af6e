"""Settings: one TOML per data set and size, loaded once, checked together, every problem reported at once.

Nothing else in Trireme reads settings. Addresses and the data root come from the environment (``contracts.stack``), so
that two stacks can live on one machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contracts import config_reading
from contracts.config_checks import cross_checks
from contracts.errors import ConfigError
from contracts.gate import GateSettings
from contracts.model_settings import ServeSettings, TrainSettings

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, the GPU half
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the source data: its files, and how its columns map to ours (ours = theirs).

    ``url`` is an fsspec URL (``*`` allowed) of Parquet, CSV, TSV or JSON-lines files, ``package:NAME/PATH`` for a file
    inside an installed wheel, or ``data:PATH`` for one below the folder that ``TRIREME_DATA`` names. What follows
    ``format`` says how CSV is written; Parquet and JSON lines say it themselves.
    """

    url: str
    columns: dict[str, str]
    format: str = ""  # "parquet", "csv" (TSV too) or "json" (lines); empty: as the files' names say
    separator: str = ""  # empty: a comma, or a tab where a file's name says .tsv
    encoding: str = "utf-8"
    quote: str = '"'  # empty: quotes are letters like others
    #: Whether a quoted value may hold line breaks; without, a line is a row, and one stray quote spoils one row.
    quoted_newlines: bool = False
    #: Names of the columns, for files whose first line is a row already.
    header: tuple[str, ...] = ()
    #: What stands for a missing value besides nothing.
    nulls: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class EventTable(Table):
    """An event log; ``event_type`` is the type of every row unless ``columns`` maps it."""

    event_type: str = "purchase"
    #: The log's own word for a type -> ours; other words stay as they are.
    event_types: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    #: What a time counts where it is a number: "s", "ms", "us" or "ns" since the epoch.
    time_unit: str = "ms"


@dataclasses.dataclass(frozen=True)
class ContextTable(Table):
    """What held for an item over a numbered period, and in a region where ``columns`` maps one (promotions, shelves).

    ``columns`` maps ``item_id``, ``period`` and any others, which become the context.
    """

    first_period: int = 1
    first_start: str = ""  # the date (YYYY-MM-DD) on which that period begins, at midnight
    period_days: int = 7
    timezone: str = "UTC"  # whose midnight


@dataclasses.dataclass(frozen=True)
class Source:
    """Where raw data comes from. ``users`` and ``items`` may be empty tables of attributes."""

    events: EventTable
    items: Table
    users: Table
    #: "none", or "end_at_now": shift all times by whole days so that the log ends within the last 24 hours.
    time_shift: str = "none"
    context: ContextTable = dataclasses.field(default_factory=lambda: ContextTable("", {}))


@dataclasses.dataclass(frozen=True)
class QualitySettings:
    """Rules of one data set beyond the contract's, and when a whole day of it is held back.

    A day is compared with the ``hold_history_days`` before it; fewer than that, or fewer rows than ``hold_min_rows`` on
    either side, and nothing is held.
    """

    #: Field -> the only values that it may have.
    allowed: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    #: Numeric field -> least and greatest value.
    ranges: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict[str, tuple[float, ...]])
    #: Event type -> fields that it must have besides those that the contract asks for.
    required: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    #: Of ``item_id`` and ``user_id``, those that must be in their table, or in an update that an earlier run took in.
    references: tuple[str, ...] = ()
    #: Most hours by which a row's time may fall behind the newest before it in its source; 0: any order is good.
    max_disorder_hours: int = 0
    hold_history_days: int = 14
    hold_min_rows: int = 500
    #: A day is held with this many times the median rows of a day, or as many times fewer.
    hold_volume_ratio: float = 10.0
    #: A day is held when a field's share of nulls moved by this much.
    hold_null_shift: float = 0.4
    #: A day is held when the population stability index of a field with few values exceeds this, and twice what is
    #: usual of a single day.
    hold_category_psi: float = 1.0


@dataclasses.dataclass(frozen=True)
class FeatureSettings:
    """Which static columns become features (``price`` and the like are numeric), and the shape of behaviour.

    ``category`` is the item column by which interactions are counted; "" counts them all together.
    """

    user_categorical: tuple[str, ...]
    item_categorical: tuple[str, ...]
    item_numeric: tuple[str, ...]
    category: str
    #: What of the request enters the query tower: any of "region", "hour" and "weekday".
    context: tuple[str, ...] = ()
    #: By whose clock its hour and weekday are told.
    timezone: str = "UTC"
    recent_items: int = 64  # length of that list
    #: Half-lives of the decayed counts by category, hours; the first is the session's.
    count_half_lives_hours: tuple[int, ...] = (1, 720)
    session_gap_minutes: int = 30
    #: An event later than this against its user's newest is kept for the batch only.
    lateness_hours: int = 24
    #: Most item ids kept of all that a user interacted with.
    max_seen_items: int = 2048
    #: Interactions are counted by buckets of so many minutes, which divide a day: a shop's items are in demand for
    #: weeks, news for an hour. What happened is part of popularity once its bucket is closed.
    bucket_minutes: int = 1440
    #: Half-lives of the item popularity, hours.
    popularity_half_lives_hours: tuple[float, ...] = (168.0, 720.0, 2880.0)
    #: Half-lives of what was taken right after or before the user's newest item in a session, hours; none: not counted.
    covisit_half_lives_hours: tuple[float, ...] = ()
    #: Whether a user's first interaction with an item is counted beside all: what is popular with those who do not know
    #: it yet. Where nobody takes an item twice, the two are one.
    first_takes: bool = False
    #: An item needs this many interactions in the training window to enter the catalogue.
    min_item_count: int = 20
    #: Whether the catalogue goes on with every other item of the log, as one that updates of items keep fresh does. One
    #: can be recommended once a bucket that names it is closed: by its popularity, as models do not know it.
    live_items: bool = False


@dataclasses.dataclass(frozen=True)
class Windows:
    """Dates (``YYYY-MM-DD``, in the source's own time) between the windows A, B, C and the test.

    A = before ``retrieval_end`` fits retrieval, B up to ``ranker_end`` the ranker, C up to ``cut`` tunes blend and
    calibration, and from ``cut`` on, up to ``test_end`` where there is one, is the test.
    """

    retrieval_end: str
    ranker_end: str
    cut: str
    test_end: str = ""
    #: The test asks for the next item of running sessions: at most so many, drawn by seed, each at the instant of an
    #: interaction that continues one; B and C hold such instants only. 0: for every user's items after the cut, at it.
    next_events: int = 0


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that one data set's TOML says."""

    name: str
    source: Source
    features: FeatureSettings
    windows: Windows
    train: TrainSettings
    serve: ServeSettings
    quality: QualitySettings = dataclasses.field(default_factory=QualitySettings)
    gate: GateSettings = dataclasses.field(default_factory=GateSettings)


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: listing every wrong, missing or unknown setting of the file.
    """
    return _sound(examine(path), str(path))


def parse(raw: Mapping[str, Any], origin: str) -> Config:
    """``load`` for a mapping that is in memory already."""
    return _sound(_examined(raw), origin)


class Examined(NamedTuple):
    """A configuration with all that is wrong with it.

    Attributes:
        config: as the file says, with an empty value or the default in place of each setting that is wrong.
        problems: a line each; without any, the configuration is sound.
        faulty: paths (``source.events.url``) of the settings that could not be read.
    """

    config: Config
    problems: list[str]
    faulty: frozenset[str]


def examine(path: str | Path) -> Examined:
    """Read a configuration file as far as it goes, so that its sources can be looked at whatever else is wrong.

    Raises:
        ConfigError: when there is no such file, or it is not TOML.
    """
    path = Path(path)
    try:
        return _examined(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.toml"))) or "none"
        raise ConfigError(str(path), [f"no such file; configurations beside it: {known}"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise ConfigError(str(path), [f"is not TOML: {error}"]) from None


def _examined(raw: Mapping[str, Any]) -> Examined:
    config, faults, unknown = config_reading.build(Config, raw)
    problems = [*unknown, *(f"{where}: {text}" for where, text in faults.items())]
    return Examined(config, problems + cross_checks(config, faults), frozenset(faults))


def _sound(examined: Examined, origin: str) -> Config:
    if examined.problems:
        raise ConfigError(origin, examined.problems)
    return examined.config
