"""A real schema registry stands in for the files by its URL alone, and its outage loses no record."""

import io
import json
import struct
import threading
from types import SimpleNamespace
from typing import Any

import fastavro
import pytest

from contracts.config import load
from contracts.errors import ConfigError, StackError
from contracts.events import avro_schema
from streaming import codec, processor, registry
from streaming.catalogue import Catalogue
from streaming.codec import Codec, UndecodableError
from streaming.online import Position
from streaming.registry import Files, Remote
from streaming.settings import stream_settings
from tests.streaming.registry_server import RegistryServer
from tests.streaming.services import free_port_base
from tests.streaming.stack import CONFIG, click

SCHEMA = json.dumps(avro_schema())


@pytest.fixture
def server():
    with RegistryServer().running() as server:
        yield server


def schema_id(data):
    return struct.unpack_from(">bI", data)[1]


def without(name):
    document = avro_schema()
    return json.dumps({**document, "fields": [field for field in document["fields"] if field["name"] != name]})


def written_with(document, event, number):
    """A record as code of another version writes it."""
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(document), event.to_dict())
    return struct.pack(">bI", 0, number) + buffer.getvalue()


def test_the_contract_is_registered_once_and_found_by_the_next_process(server):
    event = click("u", "e")
    data = Codec(Remote(server.url)).encode(event)
    assert schema_id(data) == 41 and server.subjects == {"events-value": [41]}
    assert json.loads(server.ids[41]["schema"]) == avro_schema()
    assert schema_id(Codec(Remote(server.url + "/")).encode(event)) == 41 and len(server.ids) == 1
    assert data[5:] == Codec(Files()).encode(event)[5:]  # only the id is another one


def test_an_id_is_asked_for_once_and_then_known(server):
    writer, reader = Codec(Remote(server.url)), Codec(Remote(server.url))
    events = [click("u", f"e{n}") for n in range(5)]
    assert [reader.decode(writer.encode(event)) for event in events] == events
    assert server.requests.count("GET /schemas/ids/41") == 1


def test_records_of_an_older_version_are_read_by_the_registry_s_schema(server):
    older = server.put("events-value", without("device"))
    event, new = click("u", "e"), Codec(Remote(server.url))
    assert schema_id(new.encode(event)) == older + 1  # registered, for device is optional
    assert new.decode(written_with(json.loads(without("device")), event, older)) == event


def test_records_of_a_newer_version_are_read_without_what_is_new(server):
    document = avro_schema()
    document["fields"].append({"name": "channel", "type": ["null", "string"], "default": None})
    newer = server.put("events-value", json.dumps(document))
    event = click("u", "e")
    assert Codec(Remote(server.url)).decode(written_with(document, event, newer)) == event


def test_an_id_that_the_registry_does_not_have_is_undecodable_and_not_asked_for_again_and_again(server, monkeypatch):
    reader = Codec(Remote(server.url))
    data = struct.pack(">bI", 0, 7) + b"abc"
    for _ in range(3):
        with pytest.raises(UndecodableError, match=rf"of the schema registry at {server.url}, got 7"):
            reader.decode(data)
    assert server.requests == ["GET /schemas/ids/7"]
    monkeypatch.setattr(codec, "UNKNOWN_SECONDS", -1.0)
    reader = Codec(Remote(server.url))
    for _ in range(2):
        with pytest.raises(UndecodableError):
            reader.decode(data)
    assert len(server.requests) == 3  # after a while it may have been registered


@pytest.mark.parametrize(
    ("schema", "kind"), [("syntax = 'proto3';", "PROTOBUF"), ('"string"', "AVRO"), ("{", "AVRO"), ("[]", "AVRO")]
)
def test_an_id_of_something_else_than_events_is_undecodable(server, schema, kind):
    number = server.put("other-value", schema, kind)
    with pytest.raises(UndecodableError, match=str(number)):
        Codec(Remote(server.url)).decode(struct.pack(">bI", 0, number) + b"\2a")


def test_a_registry_that_is_down_keeps_a_process_from_starting():
    url = f"http://127.0.0.1:{free_port_base(1)}"
    with pytest.raises(StackError, match=rf"schema registry at {url} does not answer .*: is it up\?"):
        _ = Codec(Remote(url)).schema_id


def test_a_registry_that_is_down_loses_no_record_of_an_unknown_id():
    port = free_port_base(1)
    reader = Codec(Remote(f"http://127.0.0.1:{port}"))
    event = click("u", "e")
    data = written_with(avro_schema(), event, 41)
    for _ in range(2):
        with pytest.raises(StackError):
            reader.decode(data)
    server = RegistryServer(port=port)
    server.put("events-value", SCHEMA)
    with server.running():
        assert reader.decode(data) == event
    assert reader.decode(data) == event  # down again, but the id is known by now


@pytest.mark.parametrize(
    ("status", "content", "text"),
    [
        (500, b'{"error_code": 50001, "message": "store"}', "answers 500 .*store"),
        (401, b'{"error_code": 401, "message": "who?"}', "answers 401 .*who"),
        (404, b"<html>", "without JSON: is that a schema registry"),
        (404, b'{"error_code": 404, "message": "HTTP 404 Not Found"}', "answers 404"),
        (404, b"[]", "answers 404"),
        (200, b"[]", "gave no"),
        (200, b"{}", "gave no"),
        (200, b"", "without JSON"),
    ],
)
def test_an_answer_of_no_registry_is_an_outage_and_condemns_no_record(server, status, content, text):
    server.fault = status, content
    with pytest.raises(StackError, match=text):
        _ = Codec(Remote(server.url)).schema_id
    with pytest.raises(StackError, match=text):
        Codec(Remote(server.url)).decode(written_with(avro_schema(), click("u", "e"), 41))


def test_a_registry_that_hangs_is_given_up(server, monkeypatch):
    monkeypatch.setattr(registry, "TIMEOUT_SECONDS", 0.1)
    server.seconds = 0.5
    with pytest.raises(StackError, match="Timeout"):
        Remote(server.url).schema(1)


def test_a_contract_that_cannot_follow_the_registry_s_newest_is_not_registered(server):
    server.put("events-value", without("event_time"))
    with pytest.raises(
        StackError, match="cannot follow its newest one: READER_FIELD_MISSING_DEFAULT_VALUE: event_time"
    ):
        _ = Codec(Remote(server.url)).schema_id
    assert len(server.ids) == 1


def test_a_password_of_the_url_is_sent_and_never_shown(server):
    url = server.url.replace("//", "//me:secret@")
    assert Codec(Remote(url)).schema_id == 41 and server.authorization.startswith("Basic ")
    server.fault = 500, b"{}"
    with pytest.raises(StackError) as caught:
        Remote(url).newest()
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_the_environment_names_the_registry(server, monkeypatch):
    monkeypatch.setenv("TRIREME_SCHEMA_REGISTRY", server.url)
    codec.shared.cache_clear()
    try:
        codec.connect()
        assert schema_id(codec.encode(click("u", "e"))) == 41
    finally:
        codec.shared.cache_clear()
    assert stream_settings({"TRIREME_SCHEMA_REGISTRY": server.url}).schema_registry == server.url
    assert stream_settings({}).schema_registry == ""


def test_the_processor_folds_nothing_of_a_batch_while_the_registry_cannot_tell_an_id(monkeypatch):
    monkeypatch.setenv("TRIREME_SCHEMA_REGISTRY", f"http://127.0.0.1:{free_port_base(1)}")
    record = SimpleNamespace(value=written_with(avro_schema(), click("u", "e"), 41), partition=0, offset=5)
    untouched: Any = None  # the store
    codec.shared.cache_clear()
    try:
        with pytest.raises(StackError):  # its loop starts over at the stored position
            processor.step(untouched, Position(), [record], Catalogue(), load(CONFIG))
    finally:
        codec.shared.cache_clear()


@pytest.mark.parametrize("url", ["registry:8081", "ftp://registry", "http://", "http://host:port", "http://[::1", "x"])
def test_a_url_that_is_none_is_named(url):
    with pytest.raises(ConfigError, match="TRIREME_SCHEMA_REGISTRY"):
        stream_settings({"TRIREME_SCHEMA_REGISTRY": url})


def test_many_threads_may_meet_an_id_at_once(server):
    data = Codec(Remote(server.url)).encode(click("u", "e"))
    reader, found = Codec(Remote(server.url)), []
    threads = [threading.Thread(target=lambda: found.append(reader.decode(data))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [click("u", "e")] * 8
