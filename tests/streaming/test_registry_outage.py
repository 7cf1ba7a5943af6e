"""The lake writer beside a real registry: it starts only with one, and an outage delays records but loses none."""

import json
import struct
import time

import pyarrow.parquet as pq
import pytest

from contracts import live_files
from contracts.events import avro_schema
from streaming import quarantine, topics
from streaming.codec import Codec
from streaming.publisher import Record
from streaming.registry import Remote
from tests.streaming.registry_server import RegistryServer
from tests.streaming.services import free_port_base, wait_until
from tests.streaming.stack import click, running


def rows(stack):
    """How many events and how many refused records lie in the lake."""
    return tuple(
        sum(pq.ParquetFile(file.path).metadata.num_rows for file in files(stack.zones))
        for files in (live_files.live_files, quarantine.files)
    )


@pytest.mark.integration
def test_an_outage_of_the_registry_delays_records_of_an_unknown_schema_and_loses_none(stack):
    stack.fill()
    topics.ensure(stack.settings)
    port = free_port_base(1)
    stack.environ["TRIREME_SCHEMA_REGISTRY"] = url = f"http://127.0.0.1:{port}"
    writer = stack.process("lake", "--flush-seconds", "0.2")
    with pytest.raises(AssertionError, match="StackError: the schema registry at .* does not answer"):
        writer.start()
    assert writer.stop() == 1
    with RegistryServer(port=port).running():
        codec = Codec(Remote(url))
        records = [Record(b"u", codec.encode(click("u", f"e{n}"))) for n in range(40)]
        writer.start()
    with running(writer):
        stack.send(records)
        wait_until(lambda: "trying again" in writer.log.read_text(), 20, "a record of an id that nobody can tell")
        time.sleep(1)
        assert rows(stack) == (0, 0)
        back = RegistryServer(port=port)
        back.put("events-value", json.dumps(avro_schema()))
        with back.running():
            wait_until(lambda: rows(stack) == (40, 0), 20, "the records, now that the registry is back")
            stack.send([Record(b"u", struct.pack(">bI", 0, 99) + b"of no schema")])
            wait_until(lambda: rows(stack) == (40, 1), 20, "the record of an id that the registry does not have")
        stack.send(records)
        wait_until(lambda: rows(stack) == (80, 1), 20, "records of a known id, without the registry")
