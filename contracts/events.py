"""What happened: the closed list of event types, their fields, and the rules that each of them obeys.

The Avro schema (``contracts/schemas``), the collector's checks, the batch reader's quality rules and the test
strategies all derive from ``FIELDS`` and ``LIMITS``. Times are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

from contracts.errors import EventError, shown, shown_name


class EventType(str, Enum):
    """Every kind of event there is."""

    IMPRESSION = "impression"
    CLICK = "click"
    VIEW = "view"
    ADD_TO_CART = "add_to_cart"
    PURCHASE = "purchase"
    RATING = "rating"
    DWELL = "dwell"
    ITEM_UPDATE = "item_update"
    USER_UPDATE = "user_update"


#: The types by which a user shows interest in an item: what the behaviour features fold.
INTERACTIONS = frozenset({EventType.CLICK, EventType.VIEW, EventType.ADD_TO_CART, EventType.PURCHASE, EventType.RATING})
_ON_ITEM = INTERACTIONS | {EventType.IMPRESSION, EventType.DWELL, EventType.ITEM_UPDATE}
_BY_USER = frozenset(EventType) - {EventType.ITEM_UPDATE}


class Reason(str, Enum):
    """Why an event was refused or quarantined: the reason codes of the API and of the quarantine zone."""

    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_TYPE = "unknown_type"
    TOO_LONG = "too_long"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    QUANTITY_OUT_OF_RANGE = "quantity_out_of_range"
    NEGATIVE_VALUE = "negative_value"
    DUPLICATE = "duplicate"
    #: Of a data set's own rules (``[quality]`` in its TOML).
    NOT_ALLOWED = "not_allowed"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_REFERENCE = "unknown_reference"
    OUT_OF_ORDER = "out_of_order"
    #: A record of the topic that is no event.
    UNDECODABLE = "undecodable"


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of an event: ``kind`` is an Avro primitive or ``map`` (of strings)."""

    name: str
    kind: str
    doc: str
    required_by: frozenset[EventType] = frozenset()


def arrow_types(pyarrow: Any) -> dict[str, Any]:
    """Kind of a field -> its Arrow type, by the ``pyarrow`` that is handed in: nothing heavy is imported here."""
    string = pyarrow.string()
    numbers = {"long": pyarrow.int64(), "int": pyarrow.int32(), "double": pyarrow.float64()}
    return {"string": string, **numbers, "map": pyarrow.map_(string, string)}


_ALL = frozenset(EventType)
_MAX_DOUBLE = sys.float_info.max

FIELDS: tuple[Field, ...] = (
    Field("event_id", "string", "Unique id given by the sender; a second event of the same id is dropped.", _ALL),
    Field("event_type", "string", "One of EventType.", _ALL),
    Field("event_time", "long", "When it happened, milliseconds since the epoch, UTC.", _ALL),
    Field("user_id", "string", "Who did it.", _BY_USER),
    Field("item_id", "string", "What it was done to.", _ON_ITEM),
    Field("session_id", "string", "The visit, basket or session it belongs to."),
    Field("request_id", "string", "The recommendation answer that showed the item."),
    Field("region", "string", "Where: a store, a city or a country."),
    Field("device", "string", "With what."),
    Field("position", "int", "Rank of the item in the list that was shown, from 0.", frozenset({EventType.IMPRESSION})),
    Field(
        "value",
        "double",
        "Money, rating or milliseconds of dwell, by type.",
        frozenset({EventType.RATING, EventType.DWELL}),
    ),
    Field("quantity", "int", "How many were bought."),
    Field("release", "string", "The release that served the impression."),
    Field("variant", "string", "The arm of the experiment that served the impression."),
    Field(
        "attributes",
        "map",
        "New attributes of the item or user.",
        frozenset({EventType.ITEM_UPDATE, EventType.USER_UPDATE}),
    ),
)
FIELD_BY_NAME = {field.name: field for field in FIELDS}


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds that hold for every event, whatever its source."""

    max_id_chars: int = 128
    #: Of one request to the collector.
    max_events: int = 500
    max_attributes: int = 64
    #: A till books some lines of a redeemed coupon with quantity 0.
    min_quantity: int = 0
    max_quantity: int = 100
    #: Nothing happened before this instant (1995-01-01): no shop was on the web, and it is no time in wrong units.
    min_event_time: int = 788_918_400_000
    #: A sender's clock may run ahead of ours by this much.
    max_ahead_ms: int = 300_000


LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Event:
    """One checked event. Build it with ``validate``; a field that does not apply is None."""

    event_id: str
    event_type: str
    event_time: int
    user_id: str | None = None
    item_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    region: str | None = None
    device: str | None = None
    position: int | None = None
    value: float | None = None
    quantity: int | None = None
    release: str | None = None
    variant: str | None = None
    attributes: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, in the order of ``FIELDS``."""
        return {field.name: getattr(self, field.name) for field in FIELDS}


def validate(raw: object, now_ms: int, limits: Limits = LIMITS) -> Event:
    """Check one decoded JSON object against the contract.

    Args:
        raw: what came from outside.
        now_ms: the receiver's clock, milliseconds since the epoch.
        limits: bounds on sizes and times.

    Raises:
        EventError: with a ``Reason``, the field, what was expected and what came.
    """
    if not isinstance(raw, Mapping):
        raise EventError(Reason.NOT_AN_OBJECT.value, "event", f"expected a JSON object, got {type(raw).__name__}")
    for name in raw:
        if name not in FIELD_BY_NAME:
            near = difflib.get_close_matches(shown_name(name), FIELD_BY_NAME, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known fields: {', '.join(FIELD_BY_NAME)}"
            raise EventError(Reason.UNKNOWN_FIELD.value, shown_name(name), f"is not a field of an event{hint}")
    values: dict[str, Any] = {
        field.name: _checked(field, raw[field.name], limits) for field in FIELDS if raw.get(field.name) is not None
    }
    event_type = _event_type(values.get("event_type"))
    for field in FIELDS:
        if event_type in field.required_by and field.name not in values:
            raise EventError(
                Reason.MISSING_FIELD.value, field.name, f"is required by events of type {event_type.value!r}"
            )
    _check_ranges(values, now_ms, limits)
    return Event(**values)


def _event_type(value: object) -> EventType:
    if value is None:
        raise EventError(Reason.MISSING_FIELD.value, "event_type", "is required")
    try:
        return EventType(value)
    except ValueError:
        known = ", ".join(kind.value for kind in EventType)
        raise EventError(
            Reason.UNKNOWN_TYPE.value, "event_type", f"expected one of {known}; got {shown(value)}"
        ) from None


def _checked(field: Field, value: object, limits: Limits) -> object:
    """``value`` as the field's Python type."""
    if field.kind == "string":
        return _text(field.name, value, limits)
    if field.kind == "map":
        return _map(field.name, value, limits)
    return _number(field, value)


def _wrong_type(name: str, expected: str, value: object) -> EventError:
    return EventError(Reason.WRONG_TYPE.value, name, f"expected {expected}, got {shown(value)}")


def _too_long(name: str, expected: str, got: int) -> EventError:
    return EventError(Reason.TOO_LONG.value, name, f"expected at most {expected}, got {got}")


def _text(name: str, value: object, limits: Limits) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong_type(name, "a non-empty string", value)
    if len(value) > limits.max_id_chars:
        raise _too_long(name, f"{limits.max_id_chars} characters", len(value))
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can hold half of a surrogate pair, Avro and parquet cannot
        raise _wrong_type(name, "text that UTF-8 can hold", value) from None
    return value


def _map(name: str, value: object, limits: Limits) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong_type(name, "an object of strings", value)
    if len(value) > limits.max_attributes:
        raise _too_long(name, f"{limits.max_attributes} entries", len(value))
    return {_text(name, key, limits): _text(name, held, limits) if held != "" else "" for key, held in value.items()}


def _number(field: Field, value: object) -> int | float:
    """A finite float or a whole number in range; a bool is no number, and NaN is no value."""
    expected = "a finite number" if field.kind == "double" else "an integer"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _MAX_DOUBLE:
        raise _wrong_type(field.name, expected, value)
    if field.kind == "double":
        return float(value)
    bits = 63 if field.kind == "long" else 31
    if value != int(value) or not -(2**bits) <= value < 2**bits:
        raise _wrong_type(field.name, f"{expected} of {bits + 1} bits", value)
    return int(value)


def _check_ranges(values: Mapping[str, Any], now_ms: int, limits: Limits) -> None:
    time = values["event_time"]
    if not limits.min_event_time <= time <= now_ms + limits.max_ahead_ms:
        raise EventError(
            Reason.TIME_OUT_OF_RANGE.value,
            "event_time",
            f"expected milliseconds since the epoch, from {limits.min_event_time} to now ({now_ms}); got {time}",
        )
    quantity = values.get("quantity")
    if quantity is not None and not limits.min_quantity <= quantity <= limits.max_quantity:
        raise EventError(
            Reason.QUANTITY_OUT_OF_RANGE.value,
            "quantity",
            f"expected {limits.min_quantity} to {limits.max_quantity}, got {quantity}",
        )
    if values.get("value", 0.0) < 0:
        raise EventError(Reason.NEGATIVE_VALUE.value, "value", f"expected a number from 0 on, got {values['value']}")
    if values.get("position", 0) < 0:
        raise EventError(
            Reason.NEGATIVE_VALUE.value, "position", f"expected a rank from 0 on, got {values['position']}"
        )


def avro_schema() -> dict[str, Any]:
    """The Avro record of an event: optional fields are unions with null and default to it (so that readers evolve)."""
    kinds: dict[str, Any] = {"map": {"type": "map", "values": "string"}}
    fields = []
    for field in FIELDS:
        kind = kinds.get(field.kind, field.kind)
        if field.required_by == _ALL:
            fields.append({"name": field.name, "type": kind, "doc": field.doc})
        else:
            fields.append({"name": field.name, "type": ["null", kind], "default": None, "doc": field.doc})
    return {"type": "record", "name": "Event", "namespace": "trireme", "fields": fields}
