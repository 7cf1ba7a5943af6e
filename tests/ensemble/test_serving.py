"""What a step does when something fails: passes on, says so, and harms no neighbour."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.errors import StackError
from ensemble.steps.chain import Chain
from tests.ensemble.fake_backend import Logger, Request, strings
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


def test_a_request_is_answered_as_the_chain_answers_it(server: Server, chain: Chain, store: Rows) -> None:
    from contracts.requests import Request as Asked

    (found,) = server(body(user_id="user-1", k=9, request_id="r"))
    (wanted,) = chain.answer([Asked("user-1", k=9)], [store.rows["user-1"]], [NOW], NOW).answers
    assert found["item_ids"] == list(wanted.item_ids)
    assert found["scores"] == pytest.approx(wanted.scores, abs=1e-5)
    assert (found["request_id"], found["variant"], found["skipped"]) == ("r", "b", [])
    assert found["feature_age_ms"] == NOW - store.rows["user-1"]["last_event_time"]


def test_typed_tensors_ask_the_same_as_json(server: Server) -> None:
    typed = Request(user_id=strings("user-1"), k=np.array([[9]], np.int32), region=strings("region-2"))
    one, other = server(typed, body(user_id="user-1", k=9, region="region-2"))
    assert one["item_ids"] == other["item_ids"]


def test_a_batch_reads_the_online_store_once(server: Server, store: Rows) -> None:
    server(*(body(user_id=f"user-{i}") for i in range(5)))
    assert store.reads == 1


def test_bad_requests_in_a_batch_get_their_own_errors_and_harm_no_neighbour(server: Server) -> None:
    alone = server(body(user_id="user-1"))[0]
    found = server(
        body(user_id="user-1"),
        body(user_id=""),
        Request(request=strings(b"\xff{")),
        body(user_id="user-1", k=0),
        Request(k=np.array([[3]], np.int32)),
        Request(user_id=strings(b"\xff")),
        body(user_id="user-2"),
    )
    assert found[0]["item_ids"] == alone["item_ids"]
    assert found[6]["item_ids"]
    for text, field in zip(found[1:6], ("user_id", "body", "k", "user_id", "user_id")):
        assert text.startswith(f"INVALID_ARG {field}: expected"), text


def test_without_the_online_store_everybody_is_answered_by_trending_and_told_so(
    server: Server, store: Rows, chain: Chain
) -> None:
    store.failing = StackError("online store did not answer within 0.1 s")
    found = server(body(user_id="user-1", region="region-1"), body(user_id="user-2"))
    trending = np.argsort(-chain.popularity.trending(NOW, "region-1"), kind="stable")[:20]
    assert found[0]["item_ids"] == [f"item-{i}" for i in trending]
    for answer in found:
        assert answer["skipped"] == [{"stage": "feature_lookup", "reason": "online store did not answer within 0.1 s"}]
        assert set(answer["sources"]) == {"trending"}
        assert answer["feature_age_ms"] == -1


def test_a_row_that_cannot_be_decoded_costs_only_its_own_user(server: Server, store: Rows) -> None:
    store.rows["user-1"] = StackError("online row cannot be decoded: x")  # pyright: ignore[reportArgumentType]
    broken, whole = server(body(user_id="user-1"), body(user_id="user-2"))
    assert broken["skipped"][0]["reason"] == "online row cannot be decoded: x"
    assert len(broken["item_ids"]) == 20
    assert whole["skipped"] == []


def test_a_row_that_breaks_the_encoder_is_answered_as_of_a_user_never_seen(server: Server, store: Rows) -> None:
    store.rows["user-1"] = {**store.rows["user-1"], "recent_event_times": [1]}
    broken, whole = server(body(user_id="user-1"), body(user_id="user-2"))
    assert [skipped["stage"] for skipped in broken["skipped"]] == ["feature_lookup"]
    assert len(broken["item_ids"]) == 20
    assert whole["skipped"] == []


@pytest.mark.parametrize(("stage", "attribute"), [("retrieval", "_retrieval"), ("ranker", "_ranker")])
def test_a_step_that_fails_is_skipped_and_named(server: Server, stage: str, attribute: str) -> None:
    class Failing:
        width = 7

        def __call__(self, *_: object) -> None:
            raise MemoryError("no room")

    setattr(server.steps[stage], attribute, Failing())
    for answer in server(body(user_id="user-1", k=30), body(user_id="nobody")):
        assert answer["skipped"] == [{"stage": stage, "reason": "MemoryError: no room"}]
        assert len(set(answer["item_ids"])) == len(answer["item_ids"]) > 0
    assert Logger.lines


def test_without_the_ranker_a_known_user_gets_retrievals_order(server: Server, chain: Chain, store: Rows) -> None:
    setattr(server.steps["ranker"], "_ranker", None)  # noqa: B010
    (answer,) = server(body(user_id="user-1", k=10))
    from contracts.requests import Request as Asked

    ids = chain.answer([Asked("user-1")], [store.rows["user-1"]], [NOW], NOW).candidates.candidate_ids[0]
    retrieved = chain.tables.item_ids[ids].tolist()
    assert set(answer["item_ids"][:5]) <= set(retrieved[:10])


def test_a_step_that_would_start_after_the_deadline_is_skipped(server: Server) -> None:
    server.steps["retrieval"]._clock = lambda: NOW + 31
    server.steps["ranker"]._clock = lambda: NOW + 31
    late, patient = server(body(user_id="user-1", deadline_ms=30), body(user_id="user-1", deadline_ms=500))
    assert [skipped["stage"] for skipped in late["skipped"]] == ["retrieval", "ranker"]
    assert late["skipped"][0]["reason"] == "deadline passed 1 ms before it started"
    assert len(late["item_ids"]) == 20
    assert patient["skipped"] == []
    assert patient["item_ids"] != late["item_ids"]


def test_a_last_step_that_fails_on_a_batch_answers_each_by_itself(server: Server, chain: Chain) -> None:
    step = server.steps["cold_start"]
    calls = []

    def fragile(envelopes, *rest):
        calls.append(len(envelopes))
        if any(envelope.user_id == "user-1" and not envelope.skipped for envelope in envelopes):
            raise ValueError("boom")
        return chain.cold_start(envelopes, *rest)

    step._cold_start = fragile
    broken, whole = server(body(user_id="user-1"), body(user_id="user-2"))
    assert calls == [2, 1, 1, 1]
    assert broken["skipped"] == [{"stage": "cold_start", "reason": "ValueError: boom"}]
    assert set(broken["sources"]) == {"trending"}
    assert whole["skipped"] == []


def test_what_cannot_even_be_degraded_is_an_internal_error_of_that_request_alone(server: Server) -> None:
    class Broken:
        def prepare(self, tensors):
            return tensors

        def run(self, batch):
            raise ValueError("boom")

        def degrade(self, batch, error):
            raise KeyError("worse")

        def finish(self, outputs):
            return outputs

    (response,) = triton_io.execute([Request(envelope=strings("{}"))], "ranker", Broken())
    assert response.error.code == "INTERNAL"
    assert "worse" in response.error.message


def test_several_users_in_one_request_get_a_row_each_and_short_lists_are_padded(server: Server) -> None:
    request = Request(user_id=strings("user-1", "user-2"), k=np.array([[2], [5]], np.int32))
    tensors = dict(request.tensors)
    for name, step in server.steps.items():
        (response,) = triton_io.execute([Request(**tensors)], name, step)
        tensors |= response.tensors
    assert tensors["item_ids"].shape == tensors["scores"].shape == tensors["sources"].shape == (2, 5)
    assert tensors["item_ids"][0, 2:].tolist() == [b""] * 3
    assert tensors["response"].shape == (2, 1)
    assert tensors["release"][0, 0].startswith(b"2")


def test_requests_of_different_k_in_one_batch_keep_their_own_width(server: Server) -> None:
    few, many = server(body(user_id="user-1", k=3), body(user_id="user-1", k=50))
    assert few["item_ids"] == many["item_ids"][:3]
    assert len(many["item_ids"]) == 50


def test_every_answer_is_counted_with_what_it_went_without(server: Server, store: Rows) -> None:
    server(body(user_id="user-1"), body(user_id=""))
    store.failing = StackError("gone")
    server(body(user_id="user-1"))
    assert [len(passage.answer.skipped) for passage in server.counted] == [0, 1]
