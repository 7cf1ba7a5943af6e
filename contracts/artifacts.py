"""Where everything lies: the zones under one root, and the manifest that a stage writes last.

The root is an fsspec URL (a folder, ``s3://…``, ``gs://…``). A stage calls ``read_manifest`` of what it needs, which
fails when the stage before did not finish, and ``write_manifest`` when all its files are written: half-written output
is never read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec

from contracts.config import Config
from contracts.errors import ArtifactError

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Zones:
    """The folders of one data set. docs/artifacts.md lists the files and columns of each."""

    root: str

    @property
    def raw(self) -> str:
        """Events as they came, checked for shape only: history under ``history/``, live ones under ``live/``."""
        return f"{self.root}/raw"

    @property
    def processed(self) -> str:
        """Trusted events, items and users."""
        return f"{self.root}/processed"

    @property
    def quarantine(self) -> str:
        """Rows that broke a rule, each with its reason code."""
        return f"{self.root}/quarantine"

    @property
    def profile(self) -> str:
        """What the last run found: ``profile.json`` and, for people, ``profile.html``."""
        return f"{self.root}/profile"

    @property
    def features(self) -> str:
        """Point-in-time rows, encodings, buckets, evaluation requests and truth."""
        return f"{self.root}/features"

    @property
    def retrieval(self) -> str:
        """Two-tower and item-item of window A (``fit``), of all before the cut (``refit``), and ``update`` of it."""
        return f"{self.root}/models/retrieval"

    @property
    def candidates(self) -> str:
        """What retrieval returns for rows of windows B and C, with ranker features and labels."""
        return f"{self.root}/candidates"

    @property
    def ranker(self) -> str:
        """The ranker and the tuned blend."""
        return f"{self.root}/models/ranker"

    @property
    def releases(self) -> str:
        """One folder a release, each a whole Triton model repository; ``current.json`` names the promoted one."""
        return f"{self.root}/releases"

    @property
    def baselines(self) -> str:
        """Lists of the established recommenders that answers are measured against, and how they were tuned."""
        return f"{self.root}/baselines"

    @property
    def answers(self) -> str:
        """The candidate release's answers to the evaluation requests, and their evaluation."""
        return f"{self.root}/answers"

    @property
    def tracking(self) -> str:
        """MLflow's runs of this data set (sqlite) and their artefacts, unless a server keeps them."""
        return f"{self.root}/mlflow"

    @property
    def tuning(self) -> str:
        """One folder a tuned stage: its trials as they happen, the best configuration and charts."""
        return f"{self.root}/tuning"


def resident(zones: Zones) -> str:
    """The folder of the retrieval that is to serve: ``refit``, or what it was brought to since by updates.

    An update names the refit that it goes back to, so that a newer refit takes its place.
    """
    refit, update = f"{zones.retrieval}/refit", f"{zones.retrieval}/update"
    follows = exists(f"{update}/{MANIFEST}") and read_manifest(update)["follows"] == read_manifest(refit)["fingerprint"]
    return update if follows else refit


def zones(root: str, config: Config) -> Zones:
    """The zones of ``config``'s data set under ``root``."""
    return Zones(f"{root.rstrip('/')}/{config.name}")


def fingerprint(*parts: object) -> str:
    """A short hash of settings (dataclasses), strings and files' contents: equal fingerprints mean nothing changed."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            digest.update(part.read_bytes())
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            digest.update(json.dumps(dataclasses.asdict(part), sort_keys=True).encode())
        else:
            digest.update(str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def code_version(*packages: str) -> str:
    """A short hash of the sources of top-level packages: part of the fingerprint of whatever their code makes."""
    root = Path(__file__).resolve().parent.parent
    sources = [path for package in packages for kind in ("*.py", "*.pbtxt") for path in (root / package).rglob(kind)]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def write_json(url: str, document: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a half (rename on a local file system)."""
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    text = json.dumps(document, indent=1, sort_keys=True)
    if "file" in filesystem.protocol:
        partial = Path(f"{path}.partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    else:
        filesystem.pipe_file(path, text.encode())


def read_json(url: str) -> Any:
    """Read a JSON document.

    Raises:
        ArtifactError: when it is not there or is not JSON.
    """
    filesystem, path = fsspec.core.url_to_fs(url)
    try:
        return json.loads(filesystem.cat_file(path))
    except FileNotFoundError:
        raise ArtifactError(f"{url} is not there: the stage that writes it has not finished; run it first") from None
    except ValueError as error:
        raise ArtifactError(f"{url} is not JSON ({error}): delete it and run its stage again") from None


def exists(url: str) -> bool:
    """Whether a file or folder is there."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return bool(filesystem.exists(path))


def write_manifest(zone: str, fingerprint: str, **facts: Any) -> None:
    """Write a zone's manifest: the last thing a stage does."""
    write_json(f"{zone}/{MANIFEST}", {"fingerprint": fingerprint, **facts})


def drop_manifest(zone: str) -> None:
    """Take a zone's manifest away: the first thing a stage does, so that a half-written zone reads as not there."""
    filesystem, path = fsspec.core.url_to_fs(f"{zone}/{MANIFEST}")
    if filesystem.exists(path):
        filesystem.rm(path)


def read_manifest(zone: str) -> dict[str, Any]:
    """A zone's manifest.

    Raises:
        ArtifactError: when the stage that fills the zone has not finished.
    """
    return read_json(f"{zone}/{MANIFEST}")


def is_current(zone: str, fingerprint: str) -> bool:
    """Whether a zone was filled from these very inputs, so that its stage need not run again."""
    return exists(f"{zone}/{MANIFEST}") and read_manifest(zone).get("fingerprint") == fingerprint
