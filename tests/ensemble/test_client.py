"""The client against a real HTTP server that fails in stated ways: what is tried again, what not, and for how long."""

from __future__ import annotations

import asyncio
import dataclasses
import http.server
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contracts.errors import ClientError, RequestError
from contracts.requests import Answer, CandidateFilter, Request, SimilarAnswer, SimilarRequest, batch_json
from ensemble.client import AsyncClient, Client
from tests.running import free_port_base

ANSWER = Answer("r", "u", ("a", "b"), (0.9, 0.5), ("personal", "trending"), "release", "", 12, ())
#: What a try meets: a status and a body, "hang" or "hang up".
Met = tuple[int, bytes] | str


@dataclasses.dataclass
class Door:
    """A server that answers tries by a list, the last of it for ever, and keeps what it was asked."""

    url: str
    script: list[Met] = dataclasses.field(default_factory=list)
    asked: list[tuple[str, Any, dict[str, str]]] = dataclasses.field(default_factory=list)
    connections: int = 0

    def meets(self, *script: Met) -> None:
        self.script = list(script)


@pytest.fixture
def door() -> Iterator[Door]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            made.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.asked.append((self.path, json.loads(body), dict(self.headers.items())))
            met = made.script.pop(0) if len(made.script) > 1 else made.script[0]
            if isinstance(met, str):
                if met == "hang":
                    time.sleep(5)
                self.close_connection = True
                return
            status, text = met
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Door(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join(10)


Ask = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, door: Door) -> Ask:
    """Calls methods of a client of one kind, by name; all calls of one go over one client."""

    def by_sync(*calls: tuple[Any, ...], url: str = door.url, **settings: Any) -> list[Any]:
        with Client(url, **settings) as client:
            return [getattr(client, name)(*arguments) for name, *arguments in calls]

    async def by_async(*calls: tuple[Any, ...], url: str = door.url, **settings: Any) -> list[Any]:
        async with AsyncClient(url, **settings) as client:
            return [await getattr(client, name)(*arguments) for name, *arguments in calls]

    if request.param == "sync":
        return by_sync
    return lambda *calls, **settings: asyncio.run(by_async(*calls, **settings))


def test_both_clients_can_do_the_same() -> None:
    public = [
        {name: list(inspect.signature(held).parameters) for name, held in vars(kind).items() if name[0] != "_"}
        for kind in (Client, AsyncClient)
    ]
    assert public[0] == public[1]


def test_an_answer_is_typed_and_connections_are_kept(door: Door, ask: Ask) -> None:
    door.meets((200, ANSWER.to_json()))
    request = Request("u", k=2, session_id="s", candidate_filter=CandidateFilter(available=False), deadline_ms=700)
    found = ask(("recommend", request), ("recommend", request))
    assert found == [ANSWER, ANSWER]
    assert door.connections == 1
    path, sent, _ = door.asked[0]
    assert path == "/v1/recommendations"
    assert 600 < sent.pop("deadline_ms") <= 680, "servers are told what is left, and to be a little earlier"
    assert sent == {"user_id": "u", "k": 2, "session_id": "s", "candidate_filter": {"available": False}}


def test_similar_items(door: Door, ask: Ask) -> None:
    answer = SimilarAnswer("r", "7", ("a",), (0.9,), ("similar",), "release", "")
    door.meets((200, answer.to_json()))
    assert ask(("similar", SimilarRequest("7", k=1))) == [answer]
    assert door.asked[0][0] == "/v1/similar-items"


def test_a_batch_has_answers_and_refusals_in_its_order(door: Door, ask: Ask) -> None:
    door.meets((200, batch_json([ANSWER, "k: expected an integer from 1 to 100, got 0"])))
    ((answer, refusal),) = ask(("recommend_all", [Request("u"), Request("v", k=0)]))
    assert answer == ANSWER
    assert (type(refusal), refusal.field, str(refusal)) == (
        RequestError,
        "k",
        "k: expected an integer from 1 to 100, got 0",
    )


def test_what_breaks_the_contract_is_refused_before_it_is_sent(door: Door, ask: Ask) -> None:
    with pytest.raises(RequestError, match="k: expected an integer from 1 to 100, got 500"):
        ask(("recommend", Request("u", k=500)))
    assert door.asked == []


def test_a_refusal_is_not_tried_again(door: Door, ask: Ask) -> None:
    door.meets((400, b'{"error":"region: expected printable characters"}'))
    with pytest.raises(RequestError, match="^region: expected printable characters$") as caught:
        ask(("recommend", Request("u")))
    assert (caught.value.field, len(door.asked)) == ("region", 1)


@pytest.mark.parametrize("passing", [(503, b'{"error":"x"}'), (504, b""), (429, b"no JSON"), "hang up"])
def test_what_passes_by_itself_is_tried_again(door: Door, ask: Ask, passing: Met) -> None:
    door.meets(passing, passing, (200, ANSWER.to_json()))
    assert ask(("recommend", Request("u"))) == [ANSWER]
    assert len(door.asked) == 3
    lefts = [sent["deadline_ms"] for _, sent, _ in door.asked]
    assert lefts == sorted(lefts, reverse=True)


@pytest.mark.parametrize("status", [401, 404, 413, 500, 502])
def test_anything_else_is_not(door: Door, ask: Ask, status: int) -> None:
    door.meets((status, b'{"error":"that is how it is"}'))
    with pytest.raises(ClientError, match=f"expected 200, got {status}: that is how it is") as caught:
        ask(("recommend", Request("u")))
    assert (caught.value.status, len(door.asked)) == (status, 1)


def test_tries_have_an_end_and_the_last_failure_is_told(door: Door, ask: Ask) -> None:
    door.meets((503, b'{"error":"no server can answer now"}'))
    with pytest.raises(ClientError, match="try 2 ended with 503 .*no server can answer now") as caught:
        ask(("recommend", Request("u")), tries=2)
    assert (caught.value.status, len(door.asked)) == (503, 2)


def test_a_deadline_is_that_of_all_tries_together(door: Door, ask: Ask) -> None:
    door.meets((503, b"{}"), "hang")
    started = time.monotonic()
    with pytest.raises(ClientError, match="no answer within 200 ms"):
        ask(("recommend", Request("u", deadline_ms=200)), tries=9)
    assert time.monotonic() - started < 3


def test_nobody_there_is_told_with_what_to_do(ask: Ask) -> None:
    with pytest.raises(ClientError, match="is up") as caught:
        ask(("recommend", Request("u")), url=f"http://127.0.0.1:{free_port_base()}")
    assert caught.value.status == 0


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"answers":[]}', b"<html>"])
def test_an_unknown_format_is_said_to_be_one(door: Door, ask: Ask, text: bytes) -> None:
    door.meets((200, text))
    for call in (("recommend", Request("u")), ("recommend_all", [Request("u")])):
        with pytest.raises(ClientError, match="unknown format"):
            ask(call)


def test_fields_that_are_not_known_yet_are_left_out(door: Door, ask: Ask) -> None:
    door.meets((200, json.dumps({**json.loads(ANSWER.to_json()), "mood": "good"}).encode()))
    assert ask(("recommend", Request("u"))) == [ANSWER]


def test_events_are_sent_under_the_same_ids_again(door: Door, ask: Ask) -> None:
    event = {"event_id": "e", "event_type": "click", "user_id": "u", "item_id": "a"}
    door.meets((503, b'{"error":{"code":"busy"}}'), (202, b'{"accepted":1}'))
    assert ask(("send", [event])) == [None]
    assert [(path, sent) for path, sent, _ in door.asked] == [("/v1/events", [event])] * 2


def test_a_refused_event_names_its_field(door: Door, ask: Ask) -> None:
    error = {"code": "wrong_type", "field": "user_id", "message": "user_id: expected a non-empty string", "index": 0}
    door.meets((400, json.dumps({"error": error}).encode()))
    with pytest.raises(RequestError) as caught:
        ask(("send", [{}]))
    assert caught.value.field == "user_id"


def test_a_token_is_sent_and_the_environment_is_not_asked(
    door: Door, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    door.meets((200, ANSWER.to_json()))
    ask(("recommend", Request("u")), token="secret")  # noqa: S106
    assert {name.lower(): held for name, held in door.asked[0][2].items()}["authorization"] == "Bearer secret"
