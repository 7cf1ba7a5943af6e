"""Settings: one TOML per data set and size, loaded once, checked together, every problem reported at once.

Nothing else in Trireme reads settings. Addresses and the data root come from the environment (``contracts.stack``), so
that two stacks can live on one machine.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.config_checks import cross_checks
from contracts.errors import ConfigError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, the GPU half
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


@dataclasses.dataclass(frozen=True)
class Table:
    """A file of the source data and how its columns map to ours (ours = theirs).

    ``url`` is an fsspec URL, or ``package:NAME/PATH`` for a file inside an installed wheel.
    """

    url: str
    columns: dict[str, str]


@dataclasses.dataclass(frozen=True)
class EventTable(Table):
    """An event log; ``event_type`` is the type of every row unless ``columns`` maps it."""

    event_type: str = "purchase"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where raw data comes from. ``users`` and ``items`` may be empty tables of attributes."""

    events: EventTable
    items: Table
    users: Table
    #: "none", or "end_at_now": shift all times by whole days so that the log ends within the last 24 hours.
    time_shift: str = "none"


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
    #: A day is held when the population stability index of a field with few values exceeds this, and twice what a single
    #: day usually has.
    hold_category_psi: float = 1.0


@dataclasses.dataclass(frozen=True)
class FeatureSettings:
    """Which static columns become features (``price`` and the like are numeric), and the shape of behaviour.

    ``category`` is the item column by which interactions are counted.
    """

    user_categorical: tuple[str, ...]
    item_categorical: tuple[str, ...]
    item_numeric: tuple[str, ...]
    category: str
    recent_items: int = 64  # length of that list
    #: Half-lives of the decayed counts by category, hours; the first is the session's.
    count_half_lives_hours: tuple[int, ...] = (1, 720)
    session_gap_minutes: int = 30
    #: An event later than this against its user's newest is kept for the batch only.
    lateness_hours: int = 24
    #: Most item ids kept of all that a user interacted with.
    max_seen_items: int = 2048
    #: Half-lives of the item popularity, days.
    popularity_half_lives_days: tuple[int, ...] = (7, 30, 120)
    #: An item needs this many interactions in the training window to enter the catalogue.
    min_item_count: int = 20


@dataclasses.dataclass(frozen=True)
class Windows:
    """Dates (``YYYY-MM-DD``, in the source's own time) between the windows A, B, C and the test.

    A = before ``retrieval_end`` fits retrieval, B up to ``ranker_end`` the ranker, C up to ``cut`` tunes blend and
    calibration, and from ``cut`` on is the test.
    """

    retrieval_end: str
    ranker_end: str
    cut: str


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Sizes and steps of the models."""

    seed: int = 20
    embedding_dim: int = 64
    retrieval_epochs: int = 1
    retrieval_batch: int = 2048
    retrieval_max_pairs: int = 250_000
    temperature: float = 0.1
    learning_rate: float = 0.002
    #: Share of training queries whose user id is hidden, so that a user never seen is served by what he did.
    id_dropout: float = 0.3
    #: Half-life of a recent item's weight in the query tower.
    recent_half_life_hours: float = 720.0
    item_item_neighbours: int = 300
    item_item_regularization: float = 500.0
    ranker: str = "dcn"
    ranker_epochs: int = 3
    ranker_batch: int = 1024
    ranker_users: int = 2000


@dataclasses.dataclass(frozen=True)
class ServeSettings:
    """What the ensemble does with a request."""

    exclude_seen: bool = True
    two_tower_candidates: int = 200
    similar_candidates: int = 200
    trending_candidates: int = 100
    #: Weight of item-item against two-tower in the order of retrieval (``contracts.blending.retrieval_score``).
    similar_weight: float = 0.7
    session_candidates: int = 40  # trending items of the running session's categories
    trending_half_life_days: int = 14
    #: Interactions of a region below which its trending list falls back to all regions.
    trending_min_count: int = 500
    #: Interactions at which the personal part weighs one half against trending.
    evidence_half: float = 1.0
    #: Weight of the running session's categories (0 switches session intent off).
    session_weight: float = 0.6
    #: Ratio of the answer's NDCG@10 to most-popular's that the gate asks for.
    gate_min_ratio: float = 1.1


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


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: listing every wrong, missing or unknown setting of the file.
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.toml"))) or "none"
        raise ConfigError(str(path), [f"no such file; configurations beside it: {known}"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise ConfigError(str(path), [f"is not TOML: {error}"]) from None
    return parse(raw, str(path))


def parse(raw: Mapping[str, Any], origin: str) -> Config:
    """``load`` for a mapping that is in memory already."""
    problems: list[str] = []
    config = _build(Config, raw, "", problems)
    if not problems:
        problems = cross_checks(config)
    if problems:
        raise ConfigError(origin, problems)
    return config


def _build(cls: type, raw: object, where: str, problems: list[str]) -> Any:
    """A dataclass from a mapping, by its annotations; problems are collected, not raised."""
    if not isinstance(raw, Mapping):
        problems.append(f"{where}: expected a table, got {raw!r}")
        return None
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in raw:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(fields)}"
            problems.append(f"{_join(where, name)}: is not a setting; {hint}")
    values = {}
    for name, field in fields.items():
        if name in raw:
            values[name] = _value(hints[name], raw[name], _join(where, name), problems)
        elif dataclasses.is_dataclass(hints[name]) and not any(map(_is_required, dataclasses.fields(hints[name]))):
            values[name] = hints[name]()
        elif _is_required(field):
            problems.append(f"{_join(where, name)}: is missing; expected {_describe(hints[name])}")
    return None if problems else cls(**values)


def _value(hint: Any, raw: Any, where: str, problems: list[str]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), raw, where, problems)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(raw, list):
        return tuple(_value(args[0], item, f"{where}[{i}]", problems) for i, item in enumerate(raw))
    if origin is dict and isinstance(raw, Mapping):
        return {key: _value(args[1], item, _join(where, key), problems) for key, item in raw.items()}
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(raw) is hint:
        return raw
    problems.append(f"{where}: expected {_describe(hint)}, got {raw!r}")
    return None


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _describe(hint: Any) -> str:
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_describe(typing.get_args(hint)[0])}"
    return names.get(hint, "a table")
