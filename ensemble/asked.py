"""What one Triton request asks: requests out of its tensors, one or a batch from each JSON body."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from contracts.errors import RequestError
from contracts.requests import Answer, Request, batch_json, check_request, parse_body
from contracts.tensors import TYPED_REQUEST, TensorSpec
from ensemble.steps.envelope import Envelope

#: In the place of an element of a batch that was refused: nobody's request, which is answered and not sent.
_NOBODY = Request("", k=1)


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request on its way into the steps.

    Attributes:
        request: what is asked.
        golden: the raw row and ``as_of`` that came with it.
        batch: which body of its Triton request it is an element of; -1 is a body of its own.
        refusal: why it is no request; "" when it is one.
    """

    request: Request
    golden: Mapping[str, Any] | None = None
    batch: int = -1
    refusal: str = ""

    @property
    def ids(self) -> list[str]:
        """Whose rows are read: the user's, then that of the anonymous id."""
        if self.golden is not None or self.refusal:
            return []
        return list(dict.fromkeys(filter(None, (self.request.user_id, self.request.anonymous_id))))


def read(tensors: Mapping[str, np.ndarray]) -> list[Asked]:
    """The requests of one Triton request, whose tensors are ``[b, 1]``: of a JSON body each, or typed.

    Raises:
        RequestError: when one that is no element of a batch breaks the contract.
    """
    asked = _of_bodies(tensors["request"]) if "request" in tensors else list(map(Asked, typed(tensors)))
    if "golden_row" not in tensors:
        return asked
    rows = [json.loads(text[0]) for text in tensors["golden_row"]]
    if len(rows) != len(asked):
        raise RequestError("golden_row", "expected a row for every request")
    return [dataclasses.replace(one, golden=row) for one, row in zip(asked, rows)]


def typed(tensors: Mapping[str, np.ndarray]) -> list[Request]:
    """Requests of typed tensors, each ``[b, 1]``; all but one of ``user_id`` and ``anonymous_id`` may be absent.

    Raises:
        RequestError: when one breaks the contract.
    """
    if not {"user_id", "anonymous_id"} & {*tensors}:
        raise RequestError("user_id", "expected a non-empty string, got none")
    return [check_request(document) for document in documents(tensors, TYPED_REQUEST)]


def documents(tensors: Mapping[str, np.ndarray], specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """Typed tensors, each ``[b, 1]``, as the fields of ``b`` requests; those that are absent are left out."""
    columns = {
        spec.name: [_text(value, spec.name) for value in column] if spec.dtype == "STRING" else column.tolist()
        for spec in specs
        if spec.name in tensors
        for column in [tensors[spec.name][:, 0]]
    }
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def responses(envelopes: Sequence[Envelope], answers: Sequence[Answer]) -> list[bytes]:
    """The JSON that answers each body, from the answers to its requests."""
    out = []
    for body, held in groupby(zip(envelopes, answers), key=lambda pair: pair[0].batch):
        if body < 0:
            out += [answer.to_json() for _, answer in held]
        else:
            out.append(batch_json([envelope.refusal or answer for envelope, answer in held]))
    return out


def _of_bodies(bodies: np.ndarray) -> list[Asked]:
    asked = []
    for number, body in enumerate(bodies[:, 0]):
        held = parse_body(body)
        if isinstance(held, Request):
            asked.append(Asked(held))
        else:
            asked += [_element(one, number) for one in held]
    return asked


def _element(held: Request | RequestError, batch: int) -> Asked:
    if isinstance(held, Request):
        return Asked(held, batch=batch)
    return Asked(_NOBODY, batch=batch, refusal=str(held))


def _text(value: bytes, field: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RequestError(field, f"expected UTF-8, got {value[:64]!r}") from None
