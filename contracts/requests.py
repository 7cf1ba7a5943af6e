"""What is asked and what is answered: the JSON of ``POST /v1/recommendations`` and its checks.

The first step of the ensemble parses the body with ``parse_request``; Envoy hands it over unparsed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from contracts.errors import RequestError, shown, shown_name

#: No request is longer: 500 excluded ids of 128 characters, escaped, have 770,000 bytes. (Envoy lets fewer through.)
MAX_BODY_BYTES = 1_000_000
MAX_K = 100
DEFAULT_K = 20
MAX_ID_CHARS = 128
MAX_EXCLUDED = 500
DEFAULT_DEADLINE_MS = 1000
MAX_DEADLINE_MS = 10_000


@dataclasses.dataclass(frozen=True)
class Request:
    """One checked request.

    Attributes:
        user_id: whose list; a user never seen is answered by trending.
        k: how many items, 1 to 100.
        region: overrides the user's home region for trending.
        exclude_ids: items that must not be in the answer.
        request_id: echoed, so that interactions can name the impression; made up when empty.
        deadline_ms: stages that would start later than this are skipped.
    """

    user_id: str
    k: int = DEFAULT_K
    region: str = ""
    exclude_ids: tuple[str, ...] = ()
    request_id: str = ""
    deadline_ms: int = DEFAULT_DEADLINE_MS


class Source:
    """Where an item of an answer came from."""

    PERSONAL = "personal"
    SIMILAR = "similar"
    TRENDING = "trending"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the ensemble answers; lists are in the order of recommendation.

    Attributes:
        sources: per item one of ``Source``.
        feature_age_ms: the request's time less the user's newest interaction; -1 when there is none.
        skipped: ``{"stage", "reason"}`` of every stage that could not do its part.
    """

    request_id: str
    user_id: str
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    sources: tuple[str, ...]
    release: str
    variant: str
    feature_age_ms: int
    skipped: tuple[Mapping[str, str], ...] = ()

    def to_json(self) -> bytes:
        """The body of the HTTP answer; a score that is no number is a ValueError, for JSON cannot say it."""
        document = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def parse_request(body: bytes) -> Request:
    """Check a request body.

    Raises:
        RequestError: naming the field, what was expected and what came.
    """
    if len(body) > MAX_BODY_BYTES:
        raise RequestError("body", f"expected at most {MAX_BODY_BYTES} bytes, got {len(body)}")
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("body", f"expected a JSON object, got {body[:64]!r}") from None
    return check_request(raw)


def check_request(raw: object) -> Request:
    """``parse_request`` for a decoded object."""
    if not isinstance(raw, Mapping):
        raise RequestError("body", f"expected a JSON object, got {type(raw).__name__}")
    known = [field.name for field in dataclasses.fields(Request)]
    unknown = sorted(shown_name(name) for name in raw if name not in known)
    if unknown:
        raise RequestError(unknown[0], f"is not a field of a request; known fields: {', '.join(known)}")
    excluded = raw.get("exclude_ids", [])
    got = f"{len(excluded)}" if isinstance(excluded, (list, tuple)) else shown(excluded)
    if not isinstance(excluded, (list, tuple)) or len(excluded) > MAX_EXCLUDED:
        raise RequestError("exclude_ids", f"expected a list of at most {MAX_EXCLUDED} item ids, got {got}")
    return Request(
        user_id=_text(raw.get("user_id"), "user_id", required=True),
        k=_integer(raw.get("k", DEFAULT_K), "k", 1, MAX_K),
        region=_text(raw.get("region", ""), "region"),
        exclude_ids=tuple(_text(item, "exclude_ids", required=True) for item in excluded),
        request_id=_text(raw.get("request_id", ""), "request_id"),
        deadline_ms=_integer(raw.get("deadline_ms", DEFAULT_DEADLINE_MS), "deadline_ms", 1, MAX_DEADLINE_MS),
    )


def _text(value: Any, field: str, required: bool = False) -> str:
    if not isinstance(value, str) or (required and not value):
        raise RequestError(field, f"expected a {'non-empty ' if required else ''}string, got {shown(value)}")
    if len(value) > MAX_ID_CHARS:
        raise RequestError(field, f"expected at most {MAX_ID_CHARS} characters, got {len(value)}")
    if not value.isprintable():
        raise RequestError(field, f"expected printable characters, got {shown(value)}")
    return value


def _integer(value: Any, field: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(field, f"expected an integer from {low} to {high}, got {shown(value)}")
    return value
