"""A schema may only be followed by one that reads what was written before; each way of breaking that has a name."""

import copy
import io

import fastavro
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.events import avro_schema
from streaming.compatibility import PROMOTIONS, problems

OPTIONAL = {"name": "channel", "type": ["null", "string"], "default": None}
#: One edit of today's contract each (the fields by name, in and out), and the rules that it breaks.
EDITS = {
    "nothing": (lambda fields: None, []),
    "a new optional field": (lambda fields: fields.update(channel=OPTIONAL), []),
    "a new field with a default": (
        lambda fields: fields.update(channel={"name": "channel", "type": "string", "default": ""}),
        [],
    ),
    "another description": (lambda fields: fields["user_id"].update(doc="Somebody."), []),
    "another order": (lambda fields: fields.update(event_id=fields.pop("event_id")), []),
    "a promotion": (lambda fields: fields["quantity"].update(type=["null", "long"]), []),
    "required becomes optional": (lambda fields: fields["event_type"].update(type=["null", "string"]), []),
    "one kind more": (lambda fields: fields["value"].update(type=["null", "double", "string"]), []),
    "a new required field": (
        lambda fields: fields.update(channel={"name": "channel", "type": "string"}),
        ["FIELD_WITHOUT_DEFAULT"],
    ),
    "a new field that may be null, without a default": (
        lambda fields: fields.update(channel={"name": "channel", "type": ["null", "string"]}),
        ["FIELD_WITHOUT_DEFAULT"],
    ),
    "a field less": (lambda fields: fields.pop("region"), ["FIELD_DROPPED"]),
    "text becomes a number": (lambda fields: fields["region"].update(type=["null", "long"]), ["FIELD_RETYPED"]),
    "a promotion backwards": (lambda fields: fields["event_time"].update(type="int"), ["FIELD_RETYPED"]),
    "a map of other values": (
        lambda fields: fields["attributes"].update(type=["null", {"type": "map", "values": "double"}]),
        ["FIELD_RETYPED"],
    ),
    "a map becomes text": (lambda fields: fields["attributes"].update(type=["null", "string"]), ["FIELD_RETYPED"]),
    "another name": (lambda fields: fields["device"].update(name="client"), ["FIELD_RENAMED"]),
    "another name at another place": (
        lambda fields: fields.update(client={**fields.pop("device"), "name": "client"}),
        ["FIELD_RENAMED"],
    ),
    "optional becomes required": (
        lambda fields: fields["user_id"].update(type="string", default=""),
        ["OPTIONAL_NOW_REQUIRED"],
    ),
    "optional becomes required and a number": (
        lambda fields: fields["user_id"].update(type="long"),
        ["OPTIONAL_NOW_REQUIRED", "FIELD_RETYPED"],
    ),
}


def edited(edit):
    fields = {field["name"]: field for field in copy.deepcopy(avro_schema()["fields"])}
    edit(fields)
    return {**avro_schema(), "fields": list(fields.values())}


def rules(lines):
    return [line.split(":")[0].removeprefix("rule ") for line in lines]


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_contract_breaks_the_rules_that_are_named(name):
    edit, expected = EDITS[name]
    assert rules(problems(avro_schema(), edited(edit))) == expected


def test_a_record_of_another_name_is_another_record():
    assert rules(problems(avro_schema(), {**avro_schema(), "name": "Happening"})) == ["RECORD_RENAMED"]
    assert rules(problems(avro_schema(), {**avro_schema(), "namespace": "other"})) == ["RECORD_RENAMED"]


def test_all_problems_come_at_once_each_with_its_field_and_what_to_do():
    def edit(fields):
        fields.pop("region")
        fields["value"]["type"] = ["null", "string"]
        fields["item_id"]["type"] = "string"
        fields["new"] = {"name": "new", "type": "int"}

    lines = problems(avro_schema(), edited(edit))
    assert sorted(rules(lines)) == sorted(
        ["FIELD_DROPPED", "FIELD_RETYPED", "OPTIONAL_NOW_REQUIRED", "FIELD_WITHOUT_DEFAULT"]
    )
    advice = {
        "region": "keep it",
        "value": "a field of another name",
        "item_id": "leave it optional",
        "new": "optional",
    }
    for field, what_to_do in advice.items():
        assert any(repr(field) in line and what_to_do in line for line in lines)


PRIMITIVES = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "bytes": st.text(max_size=8, alphabet="abc").map(str.encode),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
}
kinds = st.sampled_from([*PRIMITIVES]) | st.sampled_from([*PRIMITIVES]).map(lambda kind: ["null", kind])
plain_schemas = st.dictionaries(st.sampled_from("abcdef"), kinds, min_size=1).map(
    lambda fields: {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": kind, "default": None if isinstance(kind, list) else default(kind)}
                   for name, kind in fields.items()],
    }
)  # fmt: skip


def default(kind):
    return "" if kind in ("string", "bytes") else 0


def records(schema):
    values = {}
    for field in schema["fields"]:
        kind = field["type"]
        values[field["name"]] = st.none() | PRIMITIVES[kind[1]] if isinstance(kind, list) else PRIMITIVES[kind]
    return st.fixed_dictionaries(values)


@given(plain_schemas, plain_schemas, st.data())
def test_what_the_rules_allow_avro_reads(old, changes, data):
    """The other way does not hold: Avro lets fields go, the rules do not."""
    fields = {field["name"]: field for field in [*old["fields"], *changes["fields"]]}
    new = {**old, "fields": list(fields.values())}
    assume(not problems(old, new))
    record = data.draw(records(old))
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(old), record)
    buffer.seek(0)
    read = fastavro.schemaless_reader(buffer, fastavro.parse_schema(old), fastavro.parse_schema(new))
    assert isinstance(read, dict) and read.keys() == {field["name"] for field in new["fields"]}
    was = {field["name"]: field["type"] for field in old["fields"]}
    for field in new["fields"]:
        if was.get(field["name"]) == field["type"]:
            assert read[field["name"]] == record[field["name"]]


@pytest.mark.parametrize("old", PRIMITIVES)
@pytest.mark.parametrize("new", PRIMITIVES)
def test_the_promotions_are_avros(old, new):
    """Each pair is tried with fastavro: what it refuses, the rules refuse."""
    pair = [{"type": "record", "name": "R", "fields": [{"name": "x", "type": kind}]} for kind in (old, new)]
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(pair[0]), {"x": b"1" if old == "bytes" else
                               "1" if old == "string" else 1})  # fmt: skip
    buffer.seek(0)
    try:
        fastavro.schemaless_reader(buffer, *map(fastavro.parse_schema, pair))
        read = True
    except Exception:
        read = False
    assert read == (old == new or new in PROMOTIONS.get(old, ())) == (not problems(*pair))
