"""A candidate release: refitted or updated retrieval, ranker and tables as one whole Triton model repository."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import fsspec

from contracts.artifacts import (
    Zones,
    code_version,
    drop_manifest,
    exists,
    fingerprint,
    is_current,
    read_json,
    read_manifest,
    resident,
    write_json,
    write_manifest,
)
from contracts.config import Config
from contracts.errors import ArtifactError
from ensemble import assemble, golden
from ensemble.model_config import REPOSITORY, check, model_names
from ensemble.steps.release import DOCUMENT, Release

log = logging.getLogger(__name__)


def run(config: Config, zones: Zones, force: bool = False, fill: Path | None = None) -> dict[str, Any]:
    """Make the candidate release; figures of the run.

    Args:
        config: settings of the data set.
        zones: where its files lie.
        force: run even when nothing has changed.
        fill: a model repository that gets the release's data beside its shells, so that it serves as it stands.
    """
    retrieval = resident(zones)
    sources = [read_manifest(zone)["fingerprint"] for zone in (zones.features, retrieval, zones.ranker)]
    mark = fingerprint(config.features, config.serve, config.train.seed, *sources, code_version(*assemble.CODE))
    drifted = check(REPOSITORY)
    if drifted:
        raise ArtifactError(f"{', '.join(drifted)}: not what the contracts say; run `python -m ensemble configs`")
    if not force and is_current(zones.releases, mark) and exists(f"{candidate_url(zones)}/{DOCUMENT}"):
        log.info("the candidate release is current; nothing to do")
        facts, skipped = read_manifest(zones.releases), True
    else:
        facts, skipped = _export(config, zones, mark), False
    if fill:
        fill_repository(zones, facts["release"], fill)
    return {**facts, "skipped": skipped}


def candidate_url(zones: Zones) -> str:
    """The folder of the candidate release: the newest that was exported.

    Raises:
        ArtifactError: when none was.
    """
    return f"{zones.releases}/{read_manifest(zones.releases)['release']}"


def local_copy(url: str, folder: Path) -> Path:
    """A release on this machine: itself when it lies here, else a copy in ``folder``."""
    filesystem, path = fsspec.core.url_to_fs(url)
    if "file" in filesystem.protocol:
        return Path(path)
    filesystem.get(f"{path}/", str(folder), recursive=True)
    return folder


def _export(config: Config, zones: Zones, mark: str) -> dict[str, Any]:
    release = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{mark[:8]}"
    retrieval = resident(zones)
    drop_manifest(zones.releases)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in model_names():
            shutil.copytree(REPOSITORY / name, folder / name, ignore=_not_committed)
            (folder / name / "1").mkdir(exist_ok=True)
        assemble.write_shared(folder, config, zones)
        assemble.write_retrieval(folder, retrieval)
        assemble.write_ranker(folder, zones.ranker)
        facts = {
            "fingerprint": mark,
            "blend": read_json(f"{zones.ranker}/blend.json"),
            "fitted_until": read_manifest(retrieval).get("fitted_until"),
            "exported_at_ms": int(time.time() * 1000),
        }
        assemble.write_document(folder, config, zones, release, retrieval, **facts)
        recorded = golden.record(config, zones, Release.open(folder))
        write_json(str(folder / golden.FILE), recorded)
        document = assemble.write_document(folder, config, zones, release, retrieval, **facts)
        filesystem, path = fsspec.core.url_to_fs(f"{zones.releases}/{release}")
        filesystem.makedirs(path, exist_ok=True)
        filesystem.put(f"{folder}/", f"{path}/", recursive=True)
    megabytes = round(sum(file["bytes"] for file in document["files"].values()) / 1e6, 2)
    write_manifest(zones.releases, mark, release=release, golden=len(recorded["requests"]), megabytes=megabytes)
    log.info("release %s: %.1f MB, %d golden requests", release, megabytes, len(recorded["requests"]))
    return {"release": release, "golden": len(recorded["requests"]), "megabytes": megabytes}


def fill_repository(zones: Zones, release: str, repository: Path) -> None:
    """Put a release's data beside the committed shells, so that the repository serves as it stands."""
    filesystem, path = fsspec.core.url_to_fs(f"{zones.releases}/{release}")
    names = [name for name in read_json(f"{zones.releases}/{release}/{DOCUMENT}")["files"] if not _committed(name)]
    (repository / DOCUMENT).unlink(missing_ok=True)
    for name in [*names, DOCUMENT]:
        target = repository / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(filesystem.cat_file(f"{path}/{name}"))
        # By rename, the document last: a server that starts meanwhile sees a whole file or none.
        partial.replace(target)


def _committed(name: str) -> bool:
    return name.endswith(("/config.pbtxt", "/1/model.py", "/1/.gitkeep"))


def _not_committed(folder: str, names: list[str]) -> set[str]:
    """What ``copytree`` leaves out of a model's folder: data of an earlier release and bytecode."""
    return {name for name in names if name != "1" and not _committed(f"{folder}/{name}")}
