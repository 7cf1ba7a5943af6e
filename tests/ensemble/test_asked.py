"""What one body or one call may ask at once: batches, and two ids of one person."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contracts.errors import StackError
from contracts.merging import merge
from contracts.requests import MAX_BATCH
from contracts.requests import Request as Asked
from ensemble.steps.chain import Chain
from tests.ensemble.fake_backend import Request, strings
from tests.ensemble.made_up import CUT, World
from tests.ensemble.steps_in_a_row import NOW, Rows, Server, body

from ensemble import triton_io  # isort: skip  # after the fake backend, which takes the server's place


@pytest.fixture
def store(chain: Chain, world: World) -> Rows:
    rows = {world.user_ids[user]: world.row(user, CUT) for user in range(6)}
    return Rows(rows, chain.lookup.unknown_row())


@pytest.fixture
def server(chain: Chain, store: Rows) -> Server:
    return Server(chain, store)


def test_a_batch_in_one_body_is_answered_element_by_element(server: Server) -> None:
    alone = [server(body(user_id=f"user-{i}", k=4))[0] for i in range(3)]
    held = [{"user_id": f"user-{i}", "k": 4} for i in range(3)] + [{"user_id": "user-1", "k": 0}, 7]
    server.counted.clear()
    one, batch, other = server(body(user_id="user-1", k=4), body(requests=held), body(user_id="user-2", k=4))
    assert [answer["item_ids"] for answer in batch["answers"][:3]] == [answer["item_ids"] for answer in alone]
    assert batch["answers"][3:] == [
        {"error": "k: expected an integer from 1 to 100, got 0"},
        {"error": "body: expected a JSON object, got int"},
    ]
    assert (one["item_ids"], other["item_ids"]) == (alone[1]["item_ids"], alone[2]["item_ids"])
    assert len(server.counted) == 5, "what was refused is no answer"


def test_a_batch_of_refusals_and_a_batch_that_is_none(server: Server) -> None:
    refused, none, good = server(body(requests=[{}, {"user_id": ""}]), body(requests=[]), body(user_id="user-1"))
    assert [set(answer) for answer in refused["answers"]] == [{"error"}] * 2
    assert none == "INVALID_ARG requests: expected a list of 1 to 256 requests, got 0"
    assert good["item_ids"]


def test_a_large_batch_is_answered_as_each_alone(server: Server) -> None:
    held = [{"user_id": f"user-{i % 7}", "k": 3} for i in range(MAX_BATCH)]
    (found,) = server(body(requests=held))
    alone = [server(one)[0]["item_ids"] for one in (body(user_id=f"user-{i}", k=3) for i in range(7))]
    assert [answer["item_ids"] for answer in found["answers"]] == [alone[i % 7] for i in range(MAX_BATCH)]


def test_an_anonymous_history_counts_as_the_users(server: Server, store: Rows, world: World, chain: Chain) -> None:
    store.rows["cookie"] = store.rows.pop("user-1")
    merged, cookie, both = server(
        body(user_id="just-registered", anonymous_id="cookie"),
        body(anonymous_id="cookie"),
        body(user_id="user-2", anonymous_id="cookie"),
    )
    (wanted,) = chain.answer([Asked("just-registered")], [store.rows["cookie"]], [NOW], NOW).answers
    assert merged["item_ids"] == cookie["item_ids"] == list(wanted.item_ids)
    assert (merged["user_id"], cookie["user_id"]) == ("just-registered", "cookie")
    row = merge(store.rows["user-2"], store.rows["cookie"], world.config.features)
    (wanted,) = chain.answer([Asked("user-2")], [row], [NOW], NOW).answers
    assert both["item_ids"] == list(wanted.item_ids)
    assert store.reads == 1


def test_a_row_of_one_id_that_is_lost_leaves_that_of_the_other(server: Server, store: Rows) -> None:
    alone = server(body(user_id="user-1"))[0]
    store.rows["cookie"] = StackError("online row cannot be decoded: x")  # pyright: ignore[reportArgumentType]
    (found,) = server(body(user_id="user-1", anonymous_id="cookie"))
    assert found["item_ids"] == alone["item_ids"]
    assert found["skipped"] == [{"stage": "feature_lookup", "reason": "online row cannot be decoded: x"}]


def test_typed_tensors_say_whatever_one_value_can_say(server: Server, store: Rows) -> None:
    store.rows["cookie"] = store.rows["user-1"]
    named = Request(
        anonymous_id=strings("cookie"),
        request_id=strings("r"),
        device=strings("tv"),
        session_id=strings("s"),
        deadline_ms=np.array([[500]], np.int32),
        diversity=np.array([[0.0]], np.float32),
    )
    one, wrong = server(named, Request(user_id=strings("u"), diversity=np.array([[1.5]], np.float32)))
    assert (one["user_id"], one["request_id"]) == ("cookie", "r")
    assert wrong == "INVALID_ARG diversity: expected a number from 0 to 1, got 1.5"


def test_bodies_of_both_kinds_in_one_call_are_answered_body_by_body(server: Server) -> None:
    held = [json.dumps({"user_id": "user-1", "k": 2}), json.dumps({"requests": [{"user_id": "user-2", "k": 2}, {}]})]
    tensors = {"request": strings(*held, held[0])}
    for name, step in server.steps.items():
        (response,) = triton_io.execute([Request(**tensors)], name, step)
        tensors |= response.tensors
    one, batch, again = (json.loads(text) for text in tensors["response"][:, 0])
    assert one["item_ids"] == again["item_ids"]
    assert [*batch] == ["answers"] and [*batch["answers"][1]] == ["error"]


def test_golden_rows_are_one_for_each_request(server: Server) -> None:
    held = strings(json.dumps({"requests": [{"user_id": "a"}, {"user_id": "b"}]}))
    asked = Request(request=held, golden_row=strings('{"row": {}, "as_of": 0}'))
    (response,) = triton_io.execute([asked], "feature_lookup", server.steps["feature_lookup"])
    assert response.error.message == "golden_row: expected a row for every request"
