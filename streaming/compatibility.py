"""May this schema follow that one? The rules by which the schema of events evolves; pure, on Avro documents.

They are Avro's backward compatibility (new code reads old records) and one step stricter: what old records hold must
not be dropped on the way, so a field never goes away and never changes its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

#: Avro's promotions: what was written -> as what it can be read.
PROMOTIONS: Mapping[str, frozenset[str]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}


class Rule(str, Enum):
    """A way in which a schema can break with one before it."""

    RECORD_RENAMED = "RECORD_RENAMED"
    FIELD_WITHOUT_DEFAULT = "FIELD_WITHOUT_DEFAULT"
    FIELD_DROPPED = "FIELD_DROPPED"
    FIELD_RENAMED = "FIELD_RENAMED"
    FIELD_RETYPED = "FIELD_RETYPED"
    OPTIONAL_NOW_REQUIRED = "OPTIONAL_NOW_REQUIRED"


def problems(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What keeps code with the record schema ``new`` from reading all that was written with ``old``.

    Returns:
        One line for each broken rule, its name first: ``rule FIELD_DROPPED: …``; none when ``new`` may follow ``old``.
    """
    return [f"rule {rule.value}: {text}" for rule, text in _problems(old, new)]


def _problems(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Rule, str]]:
    if _full_name(old) != _full_name(new):
        yield Rule.RECORD_RENAMED, f"the record {_full_name(old)} is now {_full_name(new)}; keep its name"
    before, after = ({field["name"]: field for field in schema["fields"]} for schema in (old, new))
    renamed = _renamed(old["fields"], new["fields"])
    for name, field in before.items():
        if name in after:
            yield from _type_problems(name, field["type"], after[name]["type"])
        elif name in renamed:
            text = f"{name!r} is now {renamed[name]!r}; keep the old name, or add a new field beside it"
            yield Rule.FIELD_RENAMED, text
        else:
            yield Rule.FIELD_DROPPED, f"{name!r} is gone, and old records hold it; keep it, if only to stay empty"
    for name, field in after.items():
        if name not in before and name not in renamed.values() and "default" not in field:
            yield Rule.FIELD_WITHOUT_DEFAULT, f"{name!r} is new, and old records lack it; make it optional"


def _full_name(schema: Mapping[str, Any]) -> str:
    return f"{schema['namespace']}.{schema['name']}" if schema.get("namespace") else str(schema["name"])


def _renamed(old: list[Any], new: list[Any]) -> dict[str, str]:
    """Old name -> new name of fields that went and came with one type, at one place or with one description."""
    kept = {field["name"] for field in old} & {field["name"] for field in new}
    came = {place: field for place, field in enumerate(new) if field["name"] not in kept}
    renamed: dict[str, str] = {}
    for place, field in enumerate(old):
        if field["name"] in kept:
            continue
        for other_place, other in came.items():
            same = place == other_place or (field.get("doc") and field.get("doc") == other.get("doc"))
            if field["name"] in other.get("aliases", ()) or (same and field["type"] == other["type"]):
                renamed[field["name"]] = came.pop(other_place)["name"]
                break
    return renamed


def _type_problems(name: str, old: Any, new: Any) -> Iterator[tuple[Rule, str]]:
    was, now = _branches(old), _branches(new)
    if "null" in was and "null" not in now:
        yield Rule.OPTIONAL_NOW_REQUIRED, f"{name!r} may be missing in old records; leave it optional"
    lost = [kind for kind in was if kind != "null" and not any(_readable(kind, other) for other in now)]
    if lost:
        kinds = ", ".join(_shown(kind) for kind in now if kind != "null")
        text = f"{name!r} was {', '.join(map(_shown, lost))} and is now {kinds}; add a field of another name instead"
        yield Rule.FIELD_RETYPED, text


def _branches(kind: Any) -> list[Any]:
    return [_plain(branch) for branch in (kind if isinstance(kind, list) else [kind])]


def _plain(kind: Any) -> Any:
    """``{"type": "string"}`` is another spelling of ``"string"``."""
    return kind["type"] if isinstance(kind, Mapping) and kind.keys() == {"type"} else kind


def _readable(old: Any, new: Any) -> bool:
    """Whether a value written as one branch can be read as another; types that we do not use must stay as they are."""
    if old == new:
        return True
    if isinstance(old, str) and isinstance(new, str):
        return new in PROMOTIONS.get(old, ())
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.get("type") == new.get("type") == "map":
        return not any(_type_problems("values", old["values"], new["values"]))
    return False


def _shown(kind: Any) -> str:
    return f"a {kind['type']}" if isinstance(kind, Mapping) else str(kind)
