"""Checks of single values of a request: each returns what it was given, or refuses it by its field's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contracts.errors import RequestError, shown, shown_name

MAX_ID_CHARS = 128
MAX_EXCLUDED = 500
MAX_CATEGORIES = 100
MAX_CONTEXT = 16
MAX_PRICE = 10**12


def document(body: bytes, most: int) -> object:
    """What a body of at most ``most`` bytes says in JSON: stricter than Python, so that any parser reads the same.

    NaN, Infinity and numbers that no float holds are refused; an integer beyond 64 bits is a float; of several fields
    of one name the last counts.

    Raises:
        RequestError: when it is too long or no JSON.
    """
    if len(body) > most:
        raise RequestError("body", f"expected at most {most} bytes, got {len(body)}")
    try:
        return json.loads(body.decode("utf-8-sig"), parse_int=_whole, parse_float=_finite, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise RequestError("body", f"expected a JSON object, got {body[:64]!r}") from None


def fields(raw: object, known: tuple[str, ...], of: str) -> Mapping[str, Any]:
    """An object that has no fields but the known ones.

    Args:
        raw: what came.
        known: names.
        of: whose fields they are, as a refusal says it.
    """
    if not isinstance(raw, Mapping):
        raise RequestError("body", f"expected a JSON object, got {type(raw).__name__}")
    unknown = sorted(shown_name(name) for name in raw if name not in known)
    if unknown:
        raise RequestError(unknown[0], f"is not a field of {of}; known fields: {', '.join(known)}")
    return raw


def text(value: Any, field: str, required: bool = False) -> str:
    """A printable string of at most ``MAX_ID_CHARS``."""
    if not isinstance(value, str) or (required and not value):
        raise RequestError(field, f"expected a {'non-empty ' if required else ''}string, got {shown(value)}")
    if len(value) > MAX_ID_CHARS:
        raise RequestError(field, f"expected at most {MAX_ID_CHARS} characters, got {len(value)}")
    if not value.isprintable():
        raise RequestError(field, f"expected printable characters, got {shown(value)}")
    return value


def texts(value: Any, field: str, most: int, what: str) -> tuple[str, ...]:
    """A list of at most ``most`` non-empty strings; ``what`` names them."""
    if not isinstance(value, (list, tuple)) or len(value) > most:
        got = f"{len(value)}" if isinstance(value, (list, tuple)) else shown(value)
        raise RequestError(field, f"expected a list of at most {most} {what}, got {got}")
    return tuple(text(item, field, required=True) for item in value)


def integer(value: Any, field: str, low: int, high: int) -> int:
    """A whole number; 5.0 is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(field, f"expected an integer from {low} to {high}, got {shown(value)}")
    return value


def number(value: Any, field: str, low: int, high: int) -> float:
    """Any number within bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise RequestError(field, f"expected a number from {low} to {high}, got {shown(value)}")
    return float(value)


def boolean(value: Any, field: str) -> bool:
    """True or false; 0 and 1 are numbers."""
    if not isinstance(value, bool):
        raise RequestError(field, f"expected true or false, got {shown(value)}")
    return value


def context(value: Any) -> dict[str, str | int | float | bool]:
    """At most ``MAX_CONTEXT`` names and what each holds, in the order of the names."""
    if not isinstance(value, Mapping) or len(value) > MAX_CONTEXT:
        got = f"{len(value)}" if isinstance(value, Mapping) else shown(value)
        raise RequestError("context", f"expected an object of at most {MAX_CONTEXT} names, got {got}")
    held: dict[str, str | int | float | bool] = {}
    for name in sorted(value):
        at = value[name]
        if isinstance(at, str):
            text(at, "context")
        elif not isinstance(at, (bool, int, float)) or not abs(at) < float("inf"):
            raise RequestError("context", f"expected strings, numbers, true or false, got {shown(at)}")
        held[text(name, "context", required=True)] = at
    return held


def _whole(digits: str) -> int | float:
    if len(digits) <= 20 and -(2**63) <= (found := int(digits)) < 2**64:
        return found
    return _finite(digits)


def _finite(digits: str) -> float:
    found = float(digits)
    if abs(found) == float("inf"):
        raise ValueError("beyond what a float holds")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
