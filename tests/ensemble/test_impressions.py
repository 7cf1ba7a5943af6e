"""What is logged of an answer is what was shown and from what; the way to the publisher loses nothing silently."""

from __future__ import annotations

import io
import json
import socket
import time
from pathlib import Path

import fastavro
import numpy as np
import pytest

from contracts import impressions
from contracts.features import SOURCES, ranker_continuous
from contracts.impressions import FIELDS, encode, problem, table
from contracts.requests import SimilarRequest
from ensemble.impression_log import ImpressionLog
from ensemble.impressions import Impressions, OfItem, Passage, passages
from ensemble.steps.chain import Chain
from ensemble.steps.ranker import RankerFeatures
from tests.ensemble.asking import ask, codes
from tests.ensemble.made_up import CUT, World
from tests.ensemble.steps_in_a_row import Rows, Server, body


def decoded(data: bytes) -> dict:
    assert data[:5] == b"\0\0\0\0" + bytes([impressions.VERSION])
    found = fastavro.schemaless_reader(io.BytesIO(data[5:]), fastavro.parse_schema(impressions.avro_schema()), None)
    assert isinstance(found, dict) and problem(found) == ""
    return found


@pytest.fixture
def store(chain: Chain, world: World) -> Rows:
    return Rows({"user-1": world.row(1, CUT)}, chain.lookup.unknown_row())


@pytest.fixture(scope="module")
def record(chain: Chain) -> Impressions:
    return Impressions(chain.tables, RankerFeatures(chain.tables, chain.popularity))


def shown(chain: Chain, world: World, user: int, **wishes: object) -> Passage:
    found = ask(chain, world, [user], **wishes)
    (passage,) = passages(found.envelopes, found.query, found.candidates, found.ranked, found.answers)
    return passage


def test_every_field_reads_back_as_it_was_written(chain: Chain, world: World, record: Impressions) -> None:
    passage = shown(chain, world, 1, k=7)
    written = record(passage)
    found = decoded(encode(written))
    assert set(found) == {field.name for field in FIELDS}
    for field in FIELDS:
        if field.kind in impressions.DTYPES:
            wanted = np.asarray(written[field.name]).ravel().astype(impressions.DTYPES[field.kind])
            np.testing.assert_array_equal(table(found, field.name), wanted, err_msg=field.name)
        else:
            wanted = list(written[field.name]) if field.kind == "strings" else written[field.name]
            assert found[field.name] == wanted, field.name
    assert found["item_ids"] == list(passage.answer.item_ids) and len(found["item_ids"]) == 7
    assert len(table(found, "retrieval_scores")) == 7 * len(SOURCES)


@pytest.mark.parametrize("number", [0, -1, 1, 63, 64, -64, -65, 2**31, -(2**31), 2**62, -(2**62)])
def test_whole_numbers_of_any_size_are_written_as_avro_writes_them(
    chain: Chain, world: World, record: Impressions, number: int
) -> None:
    written = {**record(shown(chain, world, 1, k=1)), "as_of": number}
    assert decoded(encode(written))["as_of"] == number


def test_features_are_those_that_a_fresh_computation_gives_as_of_that_instant(
    chain: Chain, world: World, record: Impressions
) -> None:
    logged = decoded(encode(record(shown(chain, world, 3, k=20))))
    fresh = ask(chain, world, [3], k=20, as_of=logged["as_of"])
    _, continuous = RankerFeatures(chain.tables, chain.popularity)(fresh.envelopes, fresh.query, fresh.candidates)
    place = {code: i for i, code in enumerate(fresh.candidates.candidate_ids[0].tolist())}
    at = [place[code] for code in codes(fresh.answers[0])]
    names = ranker_continuous(world.config.features)
    assert logged["continuous_columns"] == list(names)
    np.testing.assert_array_equal(table(logged, "continuous").reshape(20, len(names)), continuous[0][at])
    np.testing.assert_array_equal(table(logged, "probabilities"), fresh.ranked[0][at])
    assert logged["as_of"] == CUT and logged["evidence"] == fresh.envelopes[0].evidence


def test_items_that_nothing_was_asked_of_have_no_features(chain: Chain, world: World, record: Impressions) -> None:
    passage = shown(chain, world, 1, k=5)
    nothing = Passage(passage.envelope, passage.query, passage.candidates, passage.ranked * np.nan, passage.answer)
    found = decoded(encode(record(nothing)))
    assert np.isnan(table(found, "continuous")).all() and not table(found, "categorical").any()
    assert not np.isnan(table(found, "retrieval_scores")).any(), "retrieval was not skipped"


def test_what_is_shown_to_nobody_is_not_logged(chain: Chain, store: Rows, tmp_path: Path) -> None:
    server = Server(chain, store)
    golden = json.dumps({"row": store.rows["user-1"], "as_of": CUT})
    asked = body(user_id="user-1")
    replayed = body(user_id="user-1")
    replayed.tensors["golden_row"] = np.array([[golden.encode()]], object)
    server(asked, body(user_id="user-1", request_id=impressions.PROBE_REQUEST_ID))
    server(replayed)
    assert [passage.envelope.shown for passage in server.counted] == [True, False, False]


def test_an_answer_of_similar_items_is_nobodys(chain: Chain, record: Impressions) -> None:
    request = SimilarRequest("item-3", k=4, request_id="r")
    envelope = chain.similar.envelope(request, CUT, CUT)
    (answer,) = chain.similar([request], [envelope])
    found = decoded(encode(record(OfItem(envelope, answer))))
    assert (found["item_id"], found["user_id"], found["request_id"], found["as_of"]) == ("item-3", "", "r", CUT)
    assert found["item_ids"] == list(answer.item_ids) and not found["user_codes"] and not found["query_columns"]
    assert np.isnan(table(found, "continuous")).all()


def test_who_came_with_an_anonymous_id_alone_goes_under_it(chain: Chain, store: Rows) -> None:
    server = Server(chain, store)
    server(body(anonymous_id="a", device="d", session_id="s", context={"x": 1}), body(user_id="u", anonymous_id="a"))
    record = Impressions(chain.tables, RankerFeatures(chain.tables, chain.popularity))
    one, both = (decoded(encode(record(passage))) for passage in server.counted)
    assert (one["user_id"], one["anonymous_id"], one["device"], one["session_id"]) == ("", "a", "d", "s")
    assert json.loads(one["context"]) == {"x": 1}
    assert (both["user_id"], both["anonymous_id"]) == ("u", "a")


def test_tables_of_other_sizes_than_they_say_are_refused(chain: Chain, world: World, record: Impressions) -> None:
    good = record(shown(chain, world, 1, k=3))
    found = decoded(encode(good))
    for name in ("scores", "probabilities", "retrieval_scores", "continuous", "categorical", "user_codes"):
        assert problem({**found, name: found[name] + b"\0\0\0\0"}).startswith(name)
    assert problem({**found, "sources": []}) and problem({**found, "request_id": ""})


def waited(condition, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_records_wait_for_a_reader_in_order_and_what_finds_no_room_is_counted(
    chain: Chain, world: World, record: Impressions, tmp_path: Path
) -> None:
    path, passage = str(tmp_path / "socket"), shown(chain, world, 1, k=3)
    made = iter(range(100))
    log = ImpressionLog(path, lambda held: {**record(held), "request_id": f"r{next(made)}"}, max_waiting=5)
    for _ in range(9):
        log(passage)
        time.sleep(0.01)  # the thread has taken the first
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(5)
        assert [decoded(server.recv(200_000))["request_id"] for _ in range(6)] == [f"r{n}" for n in range(6)]
    log.close()
    assert log.counts() == {"sent": 6, "no_reader": 3}


def test_a_record_that_cannot_be_made_or_sent_harms_no_other(chain: Chain, world: World, tmp_path: Path) -> None:
    path, passage = str(tmp_path / "socket"), shown(chain, world, 1, k=3)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        long = {field.name: "" for field in FIELDS}
        kinds = iter([ValueError("no"), {**long, "request_id": "x" * impressions.MAX_BYTES}])

        def record(held: Passage) -> dict:
            made = next(kinds)
            if isinstance(made, Exception):
                raise made
            return {field.name: made[field.name] if field.kind == "string" else _EMPTY[field.kind] for field in FIELDS}

        log = ImpressionLog(path, record)
        log(passage)
        log(passage)
        waited(lambda: log._counted.total() == 2)
        log.close()
    assert log.counts() == {"failed": 1, "too_large": 1}


_EMPTY = {"long": 0, "int": 0, "map": {}, "strings": [], "floats": np.zeros(0), "ints": np.zeros(0)}
