"""Zones and manifests: half-written output is never read, and what has not changed is not made again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import fsspec
import pytest

from contracts import artifacts
from contracts.config import FeatureSettings, load
from contracts.errors import ArtifactError

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = FeatureSettings(("age",), ("department",), (), "department")


@pytest.fixture(params=["local", "memory"])
def zone(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A zone on this machine's disk, and one in an object store's semantics."""
    if request.param == "local":
        return f"{tmp_path}/shop/processed"
    return f"memory://{tmp_path.name}/shop/processed"


def test_a_zone_without_a_manifest_reads_as_not_there(zone: str) -> None:
    with fsspec.open(f"{zone}/events.parquet", "wb", auto_mkdir=True) as half_written:
        half_written.write(b"PAR1")
    with pytest.raises(ArtifactError, match=r"manifest\.json is not there: the stage that writes it has not finished"):
        artifacts.read_manifest(zone)
    assert not artifacts.is_current(zone, "f")


def test_a_zone_is_current_for_its_own_fingerprint_only(zone: str) -> None:
    artifacts.write_manifest(zone, "f1", events=3)
    assert artifacts.read_manifest(zone) == {"fingerprint": "f1", "events": 3}
    assert artifacts.is_current(zone, "f1") and not artifacts.is_current(zone, "f2")


def test_a_zone_in_the_making_is_not_read_even_when_it_was_full_before(zone: str) -> None:
    artifacts.write_manifest(zone, "f")
    artifacts.drop_manifest(zone)
    assert not artifacts.is_current(zone, "f")
    with pytest.raises(ArtifactError):
        artifacts.read_manifest(zone)
    artifacts.drop_manifest(zone)
    artifacts.write_manifest(zone, "g")
    assert artifacts.is_current(zone, "g")


def test_documents_survive_writing_and_replace_one_another(zone: str) -> None:
    url = f"{zone}/deep/down/x.json"
    assert not artifacts.exists(url)
    for document in ({"b": [1, 2.5, None, "été"], "a": {}}, {"a": 2}):
        artifacts.write_json(url, document)
        assert artifacts.read_json(url) == document
    assert artifacts.exists(url)


def test_what_is_no_json_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(ArtifactError, match=r"x\.json is not JSON .*: delete it and run its stage again"):
        artifacts.read_json(str(tmp_path / "x.json"))


def test_a_reader_sees_the_old_document_until_the_new_one_is_whole(tmp_path: Path, monkeypatch) -> None:
    url = str(tmp_path / "x.json")
    artifacts.write_json(url, {"release": "old"})

    def killed(self: Path, text: str, encoding: str) -> None:
        with open(self, "w", encoding=encoding) as file:
            file.write(text[:5])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_text", killed)
        artifacts.write_json(url, {"release": "new"})
    assert artifacts.read_json(url) == {"release": "old"}


def test_equal_parts_have_equal_fingerprints_and_every_part_counts(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("x = 1")
    base = artifacts.fingerprint(SETTINGS, "manifest", code)
    assert base == artifacts.fingerprint(dataclasses.replace(SETTINGS), "manifest", Path(str(code)))
    others = [
        artifacts.fingerprint(dataclasses.replace(SETTINGS, recent_items=65), "manifest", code),
        artifacts.fingerprint(dataclasses.replace(SETTINGS, user_categorical=("income",)), "manifest", code),
        artifacts.fingerprint(SETTINGS, "manifest2", code),
        artifacts.fingerprint("manifest", SETTINGS, code),
        artifacts.fingerprint(SETTINGS, "manifest"),
    ]
    code.write_text("x = 2")
    others.append(artifacts.fingerprint(SETTINGS, "manifest", code))
    assert len({base, *others}) == 7


def test_a_fingerprint_sees_where_one_part_ends() -> None:
    assert artifacts.fingerprint("ab", "c") != artifacts.fingerprint("a", "bc")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(FeatureSettings)])
def test_every_feature_setting_is_part_of_the_fingerprint(name: str) -> None:
    held = getattr(SETTINGS, name)
    other = (*held, held[0] if held else "x") if isinstance(held, tuple) else held * 2
    assert artifacts.fingerprint(SETTINGS) != artifacts.fingerprint(dataclasses.replace(SETTINGS, **{name: other}))


def test_zones_of_one_data_set_are_apart_and_below_its_folder() -> None:
    config = load(ROOT / "configs" / "completejourney.toml")
    held = artifacts.zones("s3://bucket/x/", config)
    urls = [
        getattr(held, name) for name in dir(artifacts.Zones) if isinstance(getattr(artifacts.Zones, name), property)
    ]
    assert len(urls) == 13 and all(url.startswith("s3://bucket/x/completejourney/") for url in urls)
    assert not [(a, b) for a in urls for b in urls if a != b and b.startswith(f"{a}/")], "no zone lies in another"


def test_a_manifest_is_read_by_people_too(tmp_path: Path) -> None:
    artifacts.write_manifest(str(tmp_path), "f", b=1, a=2)
    text = (tmp_path / artifacts.MANIFEST).read_text()
    assert text.splitlines()[1:-1] == [' "a": 2,', ' "b": 1,', ' "fingerprint": "f"']
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"], "no partial file is left behind"
    json.loads(text)


def test_the_version_of_code_is_that_of_its_sources_only() -> None:
    first = artifacts.code_version("contracts")
    assert first == artifacts.code_version("contracts") and len(first) == 16
    assert len({first, artifacts.code_version("ensemble"), artifacts.code_version("contracts", "ensemble")}) == 3
    (ROOT / "contracts" / "__pycache__").mkdir(exist_ok=True)
    (ROOT / "contracts" / "__pycache__" / "noise.pyc").write_bytes(b"noise")
    try:
        assert artifacts.code_version("contracts") == first, "compiling is no change"
    finally:
        (ROOT / "contracts" / "__pycache__" / "noise.pyc").unlink()


def test_an_update_serves_while_the_refit_that_it_goes_back_to_is_there(tmp_path):
    zone = artifacts.Zones(str(tmp_path))
    refit, update = f"{zone.retrieval}/refit", f"{zone.retrieval}/update"
    artifacts.write_manifest(refit, "one")
    assert artifacts.resident(zone) == refit
    artifacts.write_manifest(update, "two", follows="one")
    assert artifacts.resident(zone) == update
    artifacts.write_manifest(refit, "three")
    assert artifacts.resident(zone) == refit
