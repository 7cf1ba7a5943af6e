"""A client of the public port: what any application would do, over one kept connection."""

from __future__ import annotations

import http.client
import json
import time
from types import TracebackType
from typing import Any

from contracts.door import door_settings
from contracts.errors import StackError


class Client:
    """REST to Envoy, with what the environment says that it asks for; not for several threads."""

    def __init__(self, port: int, timeout_seconds: float = 5.0):
        door = door_settings()
        self._connection = door.connect(port, timeout_seconds)
        self._headers = {"content-type": "application/json", **door.headers()}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def recommend(self, user_id: str, k: int = 20) -> dict[str, Any]:
        """The answer of ``POST /v1/recommendations``.

        Raises:
            StackError: when it is not a 200.
        """
        return json.loads(self._post("/v1/recommendations", {"user_id": user_id, "k": k}, 200))

    def send(self, event: dict[str, Any]) -> None:
        """Send one event; returns when the broker has acknowledged it (202).

        Raises:
            StackError: when it was not accepted.
        """
        self._post("/v1/events", event, 202)

    def _post(self, path: str, document: dict[str, Any], expected: int) -> bytes:
        try:
            self._connection.request("POST", path, json.dumps(document), self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise StackError(
                f"POST {path} got no answer ({error!r}); is the stack up? python -m deploy status"
            ) from None
        if answer.status != expected:
            text = body.decode(errors="replace")[:500]
            raise StackError(f"POST {path}: expected {expected}, got {answer.status}: {text}")
        return body


def now_ms() -> int:
    """The clock of events, ms since the epoch."""
    return time.time_ns() // 1_000_000
