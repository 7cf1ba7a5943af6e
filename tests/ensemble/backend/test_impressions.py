"""The records of the C++ twin hold what those of the python steps hold, and go the same way to their publisher."""

from __future__ import annotations

import io
import json
import socket
import threading
from pathlib import Path

import fastavro
import numpy as np

from contracts import impressions
from contracts.impressions import DTYPES, FIELDS, MAX_BYTES, MAX_WAITING_BYTES, encode, problem, table
from ensemble.impressions import Impressions, passages
from ensemble.native import Core
from ensemble.steps.chain import Chain
from ensemble.steps.ranker import RankerFeatures
from tests.ensemble.asking import ask
from tests.ensemble.made_up import CUT, World

SCHEMA = fastavro.parse_schema(impressions.avro_schema())


def decoded(data: bytes) -> dict:
    assert data[:5] == bytes([0, 0, 0, 0, impressions.VERSION])
    stream = io.BytesIO(data[5:])
    found = fastavro.schemaless_reader(stream, SCHEMA, None)
    assert isinstance(found, dict) and problem(found) == "" and not stream.read()
    return found


def native(core: Core, world: World, users: list[int], **wishes: object) -> list[dict]:
    requests = [
        {
            "body": json.dumps({"user_id": world.user_ids[user], **wishes}),
            "golden_row": json.dumps({"row": world.row(user, CUT), "as_of": CUT}),
        }
        for user in users
    ]
    return [decoded(record.encode("latin-1")) for record in core("impressions", requests=requests)]


def test_records_hold_what_those_of_the_python_steps_hold(serving: Core, chain: Chain, world: World) -> None:
    users, wishes = [0, 1, 5, 17], {"k": 30, "request_id": "r", "region": "region-1"}
    found = ask(chain, world, users, **wishes)
    record = Impressions(chain.tables, RankerFeatures(chain.tables, chain.popularity))
    wanted = passages(found.envelopes, found.query, found.candidates, found.ranked, found.answers)
    for native_record, passage in zip(native(serving, world, users, **wishes), wanted, strict=True):
        python_record = decoded(encode(record(passage)))
        order = [native_record["item_ids"].index(item) for item in python_record["item_ids"]]
        for field in FIELDS:
            mine, its = native_record[field.name], python_record[field.name]
            if field.kind in DTYPES:
                mine, its = table(native_record, field.name), table(python_record, field.name)
                if field.name in BY_ITEM:  # items whose scores tie may change places
                    mine = mine.reshape(len(order), -1)[order].ravel()
                np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5, err_msg=field.name)
            elif field.name in ("item_ids", "sources"):
                assert [mine[i] for i in order] == its
            else:
                assert mine == its, field.name


BY_ITEM = ("scores", "retrieval_scores", "probabilities", "categorical", "continuous")


def test_an_answer_of_similar_items_is_nobodys(serving: Core, chain: Chain, world: World) -> None:
    asked = {"body": json.dumps({"item_id": "item-3", "k": 4, "request_id": "r"}), "similar": True}
    user = {"body": json.dumps({"user_id": "u", "anonymous_id": "a", "device": "d", "context": {"x": 1}})}
    records = [decoded(each.encode("latin-1")) for each in serving("impressions", requests=[asked, user])]
    assert (records[0]["item_id"], records[0]["user_id"], records[0]["k"]) == ("item-3", "", 4)
    assert len(records[0]["item_ids"]) == 4 and not records[0]["user_codes"] and not records[0]["query_columns"]
    assert (records[1]["item_id"], records[1]["user_id"], records[1]["anonymous_id"]) == ("", "u", "a")
    assert (records[1]["device"], json.loads(records[1]["context"])) == ("d", {"x": 1})


def test_the_longest_answer_fits_a_record(serving: Core, world: World) -> None:
    requests = [{"body": json.dumps({"user_id": "u" * 128, "k": 100})}]
    (record,) = serving("impressions", requests=requests)
    assert len(record) < MAX_BYTES and len(decoded(record.encode("latin-1"))["item_ids"]) == 100


def test_records_wait_for_a_reader_and_arrive_in_order(serving: Core, tmp_path: Path) -> None:
    path, got = str(tmp_path / "socket"), []

    def read() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.settimeout(10)
            server.bind(path)
            got.extend(server.recv(MAX_BYTES) for _ in range(100))

    reader = threading.Timer(0.3, read)
    reader.start()
    records = [f"record {n}" for n in range(100)]
    assert serving("send", path=path, records=records, wait_ms=1500) == {"sent": 100}
    reader.join()
    assert got == [record.encode() for record in records]


def test_what_finds_no_reader_or_no_room_is_dropped_and_counted(serving: Core, tmp_path: Path) -> None:
    path = str(tmp_path / "nobody")
    size = 100_000
    held = MAX_WAITING_BYTES // size
    counts = serving("send", path=path, records=["x" * size] * (held + 10) + ["x" * (MAX_BYTES + 1)])
    assert counts.pop("too_large") == 1
    assert set(counts) == {"no_reader"} and sum(counts.values()) == held + 10
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:  # there, and never reads
        server.bind(path)
        counts = serving("send", path=path, records=["x" * 1000] * 50, wait_ms=300)
        assert counts["sent"] + counts["slow_reader"] == 50 and counts["slow_reader"] > 0
