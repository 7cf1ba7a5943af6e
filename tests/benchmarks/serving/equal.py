"""Whether peer, python steps and C++ answer alike."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deploy.ports import HOST
from tests.benchmarks.serving.servers import Server
from tests.benchmarks.serving.users import body

#: Scores that differ by less are a tie: servers are asked one after the other, and histories fade by the millisecond.
TIE = 1e-5


class Compared(NamedTuple):
    """Users whose ids are equal, equal but for the order of ties, and different."""

    users: int
    equal: int
    tied: int
    different: int

    def told(self) -> str:
        """For people."""
        return f"{self.users} users: ids equal for {self.equal}, but for ties {self.tied}, different {self.different}"


def compare(peer: Server, python: Server, native: Server, users: Sequence[str]) -> Compared:
    """Ask all three for each user's list, and hold the two others against the peer's."""
    servers = peer, python, native
    connections = [http.client.HTTPConnection(HOST, server.port, timeout=60) for server in servers]
    found = {"equal": 0, "tied": 0, "different": 0}
    for user in users:
        answers = [server.ask(connection, body_of(user)) for server, connection in zip(servers, connections)]
        kinds = {verdict(answers[0], other) for other in answers[1:]}
        found[next(kind for kind in ("different", "tied", "equal") if kind in kinds)] += 1
    for connection in connections:
        connection.close()
    return Compared(len(users), **found)


def verdict(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """``equal``, ``tied`` (only items of equal scores changed places) or ``different``."""
    if one["skipped"] or other["skipped"]:
        return "different"
    if one["item_ids"] == other["item_ids"]:
        return "equal"
    if len(one["item_ids"]) != len(other["item_ids"]):
        return "different"
    close = all(abs(a - b) < TIE for a, b in zip(one["scores"], other["scores"]))
    moved = {a for a, b in zip(one["item_ids"], other["item_ids"]) if a != b}
    last = one["scores"][-1]
    held = [dict(zip(x["item_ids"], x["scores"])) for x in (one, other)]
    # An item that is in one list only must tie with the last place: its equal took it.
    tied = all(abs(held[0].get(item, last) - held[1].get(item, last)) < TIE for item in moved)
    return "tied" if close and tied else "different"


def body_of(user: str) -> bytes:
    """A request as it is sent."""
    return json.dumps(body(user)).encode()
