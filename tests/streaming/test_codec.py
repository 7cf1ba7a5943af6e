"""Events survive the wire, in this version and in every one before."""

import dataclasses
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events
from contracts.errors import ArtifactError
from contracts.events import Event, EventType, Field, validate
from streaming import codec, schemas
from streaming.registry import Files
from tests.strategies import NOW_MS, raw_events

#: Version -> records as its code wrote them, one of each type at least; they must be readable for ever.
WRITTEN = {
    version: json.loads((Path(__file__).parent / f"data/events.v{version}.json").read_text(encoding="utf-8"))
    for version in schemas.versions()
}
V1 = WRITTEN[1]
V1_BYTES = bytes.fromhex(V1[4]["hex"])


@given(raw_events())
def test_every_valid_event_comes_back_as_it_was(raw):
    event = validate(raw, NOW_MS)
    assert codec.decode(codec.encode(event)) == event


@pytest.mark.parametrize("version", WRITTEN)
def test_records_of_every_version_stay_readable(version):
    for record in WRITTEN[version]:
        data = bytes.fromhex(record["hex"])
        assert struct.unpack_from(">bI", data) == (0, version)
        assert codec.decode(data) == Event(**record["event"])


@pytest.mark.parametrize("version", WRITTEN)
def test_the_committed_records_are_of_every_type_and_fill_every_field_of_their_version(version):
    assert {record["event"]["event_type"] for record in WRITTEN[version]} == {kind.value for kind in EventType}
    written = json.loads(schemas.path(version).read_text(encoding="utf-8"))
    assert set().union(*(record["event"] for record in WRITTEN[version])) == {
        each["name"] for each in written["fields"]
    }


def test_the_wire_format_is_confluents():
    event = validate({"event_id": "a", "event_type": "user_update", "event_time": NOW_MS, "user_id": "u",
                      "attributes": {"age": "9"}}, NOW_MS)  # fmt: skip
    assert struct.unpack_from(">bI", codec.encode(event)) == (0, schemas.versions()[-1])


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\0\0\0\0\1" + tail))
def test_bytes_of_any_or_of_a_known_schema_are_an_event_or_undecodable_and_nothing_else(data):
    try:
        event = codec.decode(data)
    except codec.UndecodableError:
        return
    assert isinstance(event, Event)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "at least 5 bytes"),
        (b"\0\0", "at least 5 bytes"),
        (b"\1\0\0\0\1abc", "zero byte"),
        (b"\0\0\0\0\x63abc", "got 99"),
        (V1_BYTES[:-4], "do not fit schema 1"),
        (b"\0\xff\xff\xff\xffabc", "got 4294967295"),
        (V1_BYTES + b"x", "1 bytes are left over"),
    ],
)
def test_an_undecodable_record_says_why(data, reason):
    with pytest.raises(codec.UndecodableError, match=reason):
        codec.decode(data)


@dataclasses.dataclass(frozen=True)
class EventOfVersion2(Event):
    channel: str | None = None


@pytest.fixture
def version_2(monkeypatch, tmp_path):
    """The codec of code with one more optional field, made when it is called, and a file for its version."""

    def make():
        schemas.path(1, tmp_path).write_bytes(schemas.path(1).read_bytes())
        monkeypatch.setattr(events, "FIELDS", (*events.FIELDS, Field("channel", "string", "By which way they came.")))
        schemas.write(tmp_path)
        monkeypatch.setattr(codec, "Event", EventOfVersion2)
        return codec.Codec(Files(tmp_path))

    return make


def test_code_of_a_version_2_reads_version_1_and_leaves_the_new_field_empty(version_2):
    new = version_2()
    for record in V1:
        assert new.decode(bytes.fromhex(record["hex"])) == EventOfVersion2(**record["event"], channel=None)
    event = EventOfVersion2(**V1[0]["event"], channel="mail")
    assert new.encode(event)[:5] == b"\0\0\0\0\2" and new.decode(new.encode(event)) == event


def test_code_of_version_1_refuses_version_2_without_its_schema_and_skips_the_new_field_with_it(
    version_2, monkeypatch, tmp_path
):
    """With the files alone, readers are updated before writers; a registry lets them be updated in any order."""
    old, told = codec.Codec(Files()), codec.Codec(Files(tmp_path))
    data = version_2().encode(EventOfVersion2(**V1[0]["event"], channel="mail"))
    monkeypatch.setattr(codec, "Event", Event)
    with pytest.raises(codec.UndecodableError, match=r"of schemas/, got 2"):
        old.decode(data)
    assert told.decode(data) == Event(**V1[0]["event"])


def test_a_contract_that_has_no_version_yet_is_not_written(monkeypatch):
    monkeypatch.setattr(events, "FIELDS", (*events.FIELDS, Field("channel", "string", "By which way they came.")))
    with pytest.raises(ArtifactError, match="run `python -m streaming schemas`"):
        codec.Codec(Files()).encode(Event(**V1[0]["event"]))


@pytest.mark.parametrize(
    "document",
    ["string", {"type": "nope"}, {"type": "record"}, 5, [], {"type": "record", "name": "Payment", "fields": []}],
)
def test_a_schema_of_something_else_makes_its_records_undecodable(document):
    class Odd(Files):
        def schema(self, schema_id):
            return document

    with pytest.raises(codec.UndecodableError):
        codec.Codec(Odd()).decode(V1_BYTES)
