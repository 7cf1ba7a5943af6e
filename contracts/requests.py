"""What is asked and what is answered: the JSON of ``POST /v1/recommendations`` and its checks.

The first step of the ensemble parses the body with ``parse_body``; Envoy hands it over unparsed. Its twin, refusal by
refusal, is ``ensemble/backend/request.cc``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts import request_values as check
from contracts.errors import RequestError, shown

#: No body is longer. The longest request, each of its characters escaped in 12 bytes, has 984,000.
MAX_BODY_BYTES = 1_000_000
MAX_BATCH = 256
MAX_K = 100
DEFAULT_K = 20
DEFAULT_DEADLINE_MS = 1000
MAX_DEADLINE_MS = 10_000


@dataclasses.dataclass(frozen=True)
class CandidateFilter:
    """Which items may be answered.

    Attributes:
        category: values of the data set's category; none named is all.
        price_min: no item that costs less; None is no bound.
        price_max: no item that costs more.
        available: without what is not available now; False lets that in.
    """

    category: tuple[str, ...] = ()
    price_min: float | None = None
    price_max: float | None = None
    available: bool = True


@dataclasses.dataclass(frozen=True)
class Request:
    """One checked request.

    Attributes:
        user_id: whose list; a user never seen is answered by trending. "" when only ``anonymous_id`` is known.
        k: how many items, 1 to 100.
        region: overrides the user's home region for trending.
        exclude_ids: items that must not be in the answer.
        request_id: echoed, so that interactions can name the impression; made up when empty.
        deadline_ms: stages that would start later than this are skipped.
        anonymous_id: under which the same person was seen before he was known: its history counts as the user's.
        device: with what; kept with the impression.
        session_id: the visit; kept with the impression.
        context: what else the application knows; kept with the impression.
        candidate_filter: which items may be answered.
        diversity: from 0, the best items, to 1, the most different ones.
    """

    user_id: str
    k: int = DEFAULT_K
    region: str = ""
    exclude_ids: tuple[str, ...] = ()
    request_id: str = ""
    deadline_ms: int = DEFAULT_DEADLINE_MS
    anonymous_id: str = ""
    device: str = ""
    session_id: str = ""
    context: Mapping[str, str | int | float | bool] = dataclasses.field(default_factory=dict)
    candidate_filter: CandidateFilter = CandidateFilter()
    diversity: float = 0.0

    @property
    def answered_id(self) -> str:
        """Whose list it is: the user's, else that of the anonymous id."""
        return self.user_id or self.anonymous_id

    def to_document(self) -> dict[str, Any]:
        """What ``check_request`` makes this request of: fields that are not as by default."""
        return _document(self)


@dataclasses.dataclass(frozen=True)
class SimilarRequest:
    """One checked request of ``POST /v1/similar-items``: an item in the place of a user; the rest is as in ``Request``.

    Attributes:
        item_id: to which item; one never seen is answered by trending.
    """

    item_id: str
    k: int = DEFAULT_K
    region: str = ""
    exclude_ids: tuple[str, ...] = ()
    request_id: str = ""
    deadline_ms: int = DEFAULT_DEADLINE_MS
    candidate_filter: CandidateFilter = CandidateFilter()
    diversity: float = 0.0

    def to_document(self) -> dict[str, Any]:
        """What ``check_similar`` makes this request of: fields that are not as by default."""
        return _document(self)


class Source:
    """Where an item of an answer came from."""

    PERSONAL = "personal"
    SIMILAR = "similar"
    TRENDING = "trending"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the ensemble answers; lists are in the order of recommendation.

    Attributes:
        request_id: the request's, or one that was made up: interactions name it.
        user_id: whose list it is: the user's id, else the anonymous one.
        item_ids: the best first; fewer than asked for only where no more are allowed.
        scores: of each item, in its order; comparable within one answer only.
        sources: per item one of ``Source``.
        release: which release answered.
        variant: the arm of the experiment that answered; "" without one.
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
        return _json(self)


@dataclasses.dataclass(frozen=True)
class SimilarAnswer:
    """What is answered to a ``SimilarRequest``: an ``Answer`` with the item in the place of the user.

    Attributes:
        item_id: to which the items are like.
        feature_age_ms: -1, for no user's features are looked at.
    """

    request_id: str
    item_id: str
    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    sources: tuple[str, ...]
    release: str
    variant: str
    feature_age_ms: int = -1
    skipped: tuple[Mapping[str, str], ...] = ()

    def to_json(self) -> bytes:
        """As ``Answer.to_json``."""
        return _json(self)


def batch_json(answers: Sequence[Answer | str]) -> bytes:
    """The body that answers a batch: in the place of each request its answer, or the text of its refusal."""
    parts = [
        json.dumps({"error": one}, separators=(",", ":")).encode() if isinstance(one, str) else one.to_json()
        for one in answers
    ]
    return b'{"answers":[' + b",".join(parts) + b"]}"


def parse_request(body: bytes) -> Request:
    """Check the body of one request.

    Raises:
        RequestError: naming the field, what was expected and what came.
    """
    return check_request(check.document(body, MAX_BODY_BYTES))


def parse_body(body: bytes) -> Request | list[Request | RequestError]:
    """Check the body of one request, or of a batch: ``{"requests": [...]}``, each with an error of its own.

    Raises:
        RequestError: when the one request, or the batch as such, breaks the contract.
    """
    raw = check.document(body, MAX_BODY_BYTES)
    if not isinstance(raw, Mapping) or "requests" not in raw:
        return check_request(raw)
    held = check.fields(raw, ("requests",), "a batch")["requests"]
    if not isinstance(held, list) or not 1 <= len(held) <= MAX_BATCH:
        got = f"{len(held)}" if isinstance(held, list) else shown(held)
        raise RequestError("requests", f"expected a list of 1 to {MAX_BATCH} requests, got {got}")
    return [_checked(one) for one in held]


def parse_similar(body: bytes) -> SimilarRequest:
    """Check the body of one request for similar items.

    Raises:
        RequestError: naming the field, what was expected and what came.
    """
    return check_similar(check.document(body, MAX_BODY_BYTES))


def check_request(raw: object) -> Request:
    """``parse_request`` for a decoded object."""
    held = check.fields(raw, _names(Request), "a request")
    anonymous = check.text(held.get("anonymous_id", ""), "anonymous_id")
    user = held.get("user_id", "" if anonymous else None)
    return Request(
        user_id=check.text(user, "user_id", required=not anonymous),
        anonymous_id=anonymous,
        device=check.text(held.get("device", ""), "device"),
        session_id=check.text(held.get("session_id", ""), "session_id"),
        context=check.context(held.get("context", {})),
        **_wishes(held),
    )


def check_similar(raw: object) -> SimilarRequest:
    """``parse_similar`` for a decoded object."""
    held = check.fields(raw, _names(SimilarRequest), "a request for similar items")
    return SimilarRequest(item_id=check.text(held.get("item_id"), "item_id", required=True), **_wishes(held))


def _checked(raw: object) -> Request | RequestError:
    try:
        return check_request(raw)
    except RequestError as error:
        return error


def _wishes(held: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that every kind of request has."""
    return {
        "k": check.integer(held.get("k", DEFAULT_K), "k", 1, MAX_K),
        "region": check.text(held.get("region", ""), "region"),
        "exclude_ids": check.texts(held.get("exclude_ids", []), "exclude_ids", check.MAX_EXCLUDED, "item ids"),
        "request_id": check.text(held.get("request_id", ""), "request_id"),
        "deadline_ms": check.integer(held.get("deadline_ms", DEFAULT_DEADLINE_MS), "deadline_ms", 1, MAX_DEADLINE_MS),
        "candidate_filter": _filter(held.get("candidate_filter", {})),
        "diversity": check.number(held.get("diversity", 0), "diversity", 0, 1),
    }


def _filter(raw: object) -> CandidateFilter:
    if not isinstance(raw, Mapping):
        raise RequestError("candidate_filter", f"expected a JSON object, got {shown(raw)}")
    held = check.fields(raw, _names(CandidateFilter), "candidate_filter")
    category = check.texts(held.get("category", []), "candidate_filter.category", check.MAX_CATEGORIES, "categories")
    least, most = (
        check.number(held[name], f"candidate_filter.{name}", 0, check.MAX_PRICE) if name in held else None
        for name in ("price_min", "price_max")
    )
    if least is not None and most is not None and least > most:
        raise RequestError(
            "candidate_filter.price_max", f"expected at least price_min, {shown(least)}, got {shown(most)}"
        )
    return CandidateFilter(
        category, least, most, check.boolean(held.get("available", True), "candidate_filter.available")
    )


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _json(answer: Answer | SimilarAnswer) -> bytes:
    document = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _document(held: Any) -> dict[str, Any]:
    """Fields that differ from their defaults, those of fields included."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(held):
        value = getattr(held, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if value != default:
            found[field.name] = _document(value) if dataclasses.is_dataclass(value) else value
    return found
