"""Versions are only ever added, and `make check` says what keeps a change of the contract from becoming one."""

import dataclasses
import hashlib
import json

import pytest

from contracts import events
from contracts.errors import ArtifactError
from contracts.events import Field
from contracts.impressions import VERSION
from streaming import schemas
from streaming.__main__ import main

#: What each committed version holds, for ever: a new version is a new line.
DIGESTS = {1: "04d69237311937abf3f574ad071c82b376ef159e3fe67da9ec3049d0a72d8d12"}


@pytest.fixture
def folder(tmp_path):
    """A copy of the committed versions, free to be changed."""
    for version in schemas.versions():
        schemas.path(version, tmp_path).write_bytes(schemas.path(version).read_bytes())
    return tmp_path


@pytest.fixture
def contract(monkeypatch):
    """A way to change the contract's fields."""

    def change(*added, without=(), **changed):
        fields = [
            dataclasses.replace(field, **changed.get(field.name, {}))
            for field in events.FIELDS
            if field.name not in without
        ]
        monkeypatch.setattr(events, "FIELDS", (*fields, *added))

    return change


CHANNEL = Field("channel", "string", "By which way the visitor came.")


def test_no_committed_version_was_ever_rewritten():
    found = {number: hashlib.sha256(schemas.path(number).read_bytes()).hexdigest() for number in schemas.versions()}
    assert found == DIGESTS


def test_the_newest_version_is_the_contract(capsys):
    assert main(["schemas", "--check"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "versions": {"events": [*DIGESTS], "impressions": [VERSION]},
        "written": None,
    }
    assert main(["schemas"]) == 0  # nothing to write


def test_a_compatible_change_asks_for_the_command_which_adds_a_version_and_leaves_the_old_one(folder, contract):
    before = schemas.path(1, folder).read_bytes()
    contract(CHANNEL)
    with pytest.raises(ArtifactError, match=r"run `python -m streaming schemas`, which writes event\.v2\.avsc"):
        schemas.check(folder)
    written = schemas.write(folder)
    assert written == schemas.path(2, folder) and written.read_text() == schemas.text()
    assert schemas.path(1, folder).read_bytes() == before
    schemas.check(folder)
    assert schemas.write(folder) is None


def test_an_incompatible_change_is_refused_with_every_rule_and_nothing_is_written(folder, contract):
    contract(
        Field("channel", "string", "New.", frozenset(events.EventType)),
        without=["region"],
        value={"kind": "string"},
        user_id={"required_by": frozenset(events.EventType)},
    )
    for act in (schemas.check, schemas.write):
        with pytest.raises(ArtifactError) as caught:
            act(folder)
        text = str(caught.value)
        assert "4 problem(s)" in text
        for rule, field in {"FIELD_WITHOUT_DEFAULT": "channel", "FIELD_DROPPED": "region", "FIELD_RETYPED": "value",
                            "OPTIONAL_NOW_REQUIRED": "user_id"}.items():  # fmt: skip
            assert f"event.v1.avsc -> contracts/events.py: rule {rule}: '{field}'" in text
    assert schemas.versions(folder) == [1]


def test_a_field_must_stay_readable_from_every_version_not_only_the_last(folder, contract):
    """Version 2 adds a field and its default; a contract without the default still reads 2, but no more 1."""
    contract(CHANNEL)
    schemas.write(folder)
    contract(Field("channel", "string", CHANNEL.doc, frozenset(events.EventType)), without=["channel"])
    found = schemas.problems(folder)
    assert any(line.startswith("event.v1.avsc -> contracts/events.py: rule FIELD_WITHOUT_DEFAULT") for line in found)
    assert any(line.startswith("event.v2.avsc -> contracts/events.py: rule OPTIONAL_NOW_REQUIRED") for line in found)


def test_two_versions_that_were_committed_side_by_side_are_compared(folder, contract):
    document = json.loads(schemas.path(1, folder).read_text())
    document["fields"] = [field for field in document["fields"] if field["name"] != "device"]
    schemas.path(2, folder).write_text(json.dumps(document))
    (line,) = schemas.problems(folder)
    assert line.startswith("event.v1.avsc -> event.v2.avsc: rule FIELD_DROPPED: 'device'")


@pytest.mark.parametrize("content", ["{", "[]", "5", '"string"', '{"type": "record"}', '{"type": "nope"}', ""])
def test_a_spoilt_version_is_named(folder, content):
    schemas.path(1, folder).write_text(content)
    (line,) = schemas.problems(folder)
    assert line.startswith("rule NOT_A_SCHEMA: event.v1.avsc")


def test_a_version_that_is_gone_is_named(folder, contract):
    contract(CHANNEL)
    schemas.write(folder)
    schemas.path(1, folder).unlink()
    (line,) = schemas.problems(folder)
    assert line.startswith("rule VERSION_MISSING: event.v1.avsc")
