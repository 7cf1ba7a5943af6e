"""A dataclass from a mapping, by its annotations: as far as it goes, with everything that is wrong by setting."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Finding(NamedTuple):
    """What is wrong with a setting that could be read; ``also`` names the others that the judgement rests on."""

    setting: str
    text: str
    also: tuple[str, ...] = ()


def lines(findings: Iterable[Finding], faulty: Iterable[str]) -> list[str]:
    """A line a finding, but for those that rest on a setting which could not be read."""
    faulty = tuple(faulty)

    def rests_on_a_fault(setting: str) -> bool:
        return any(setting == bad or setting.startswith(f"{bad}.") or bad.startswith(f"{setting}[") for bad in faulty)

    return [
        f"{found.setting}: {found.text}"
        for found in findings
        if not any(map(rests_on_a_fault, (found.setting, *found.also)))
    ]


def build(cls: type[T], raw: object) -> tuple[T, dict[str, str], list[str]]:
    """A nested dataclass of a mapping's values.

    A value that is wrong or missing becomes the setting's default, or is empty where there is none.

    Returns:
        The dataclass; path of every setting that is wrong or missing (``source.events.url``) -> what is the matter
        with it; a line for every setting that is not known.
    """
    faults: dict[str, str] = {}
    unknown: list[str] = []
    return _table(cls, raw, "", faults, unknown), faults, unknown


def _table(cls: type, raw: object, where: str, faults: dict[str, str], unknown: list[str]) -> Any:
    """A dataclass from a mapping, by its annotations; faults are collected by setting, not raised."""
    if not isinstance(raw, Mapping):
        faults[where] = f"expected a table, got {raw!r}"
        return _nothing(cls)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name in raw:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(fields)}"
            unknown.append(f"{_join(where, name)}: is not a setting; {hint}")
    values = {}
    for name, field in fields.items():
        hint, place = hints[name], _join(where, name)
        if name in raw:
            values[name] = _value(hint, raw[name], place, faults, unknown)
            if place in faults and not _is_required(field):
                del values[name]  # the default, which no check can find fault with
        elif _is_required(field) and not _needs_nothing(hint):
            faults[place] = f"is missing; expected {_describe(hint)}"
            values[name] = _nothing(hint)
        elif _is_required(field):
            values[name] = hint()
    return cls(**values)


def _value(hint: Any, raw: Any, where: str, faults: dict[str, str], unknown: list[str]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _table(typing.cast(type, hint), raw, where, faults, unknown)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(raw, list):
        return tuple(_value(args[0], item, f"{where}[{i}]", faults, unknown) for i, item in enumerate(raw))
    if origin is dict and isinstance(raw, Mapping):
        return {key: _value(args[1], item, _join(where, key), faults, unknown) for key, item in raw.items()}
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        with contextlib.suppress(OverflowError):  # more digits than a float has is no number of it
            return float(raw)
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(raw) is hint:
        return raw
    faults[where] = f"expected {_describe(hint)}, got {raw!r}"
    return _nothing(hint)


def _nothing(hint: Any) -> Any:
    """An empty value of a type, in place of one that is wrong."""
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        required = [field for field in dataclasses.fields(hint) if _is_required(field)]
        return typing.cast(type, hint)(**{field.name: _nothing(hints[field.name]) for field in required})
    return (typing.get_origin(hint) or hint)()


def _needs_nothing(hint: Any) -> bool:
    """Whether a table may be left out, for all that it holds has a default."""
    return dataclasses.is_dataclass(hint) and not any(map(_is_required, dataclasses.fields(hint)))


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _describe(hint: Any) -> str:
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    if typing.get_origin(hint) is tuple:
        return f"a list, each {_describe(typing.get_args(hint)[0])}"
    return names.get(hint, "a table")
