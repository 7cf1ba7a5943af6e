"""Where schemas have their ids: the committed files, or a schema registry that speaks Confluent's REST contract.

With the files, an id is the number in a file's name. With a registry (``TRIREME_SCHEMA_REGISTRY``), the contract's
schema is looked up under one subject, registered there when it is new and compatible, and ids are the registry's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

from contracts.errors import ArtifactError, StackError
from streaming import schemas
from streaming.schemas import Subject

#: A registry on the same network answers within milliseconds; a dead one must not hold the stream for longer.
TIMEOUT_SECONDS = 2.0
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
#: The registry's own codes of "there is none": subject, version, schema. Any other 404 is of something else than one.
_NONE = frozenset({40401, 40402, 40403})


class Registry(Protocol):
    """What the codec asks."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    def newest(self) -> int:
        """The id of the contract's schema.

        Raises:
            ArtifactError: when the committed files say something else than the contract.
            StackError: when the registry does not answer, or refuses the schema.
        """
        ...

    def schema(self, schema_id: int) -> Any:
        """The Avro document of an id, or None where there is none.

        Raises:
            StackError: when that cannot be told now: ask again later.
        """
        ...


class Files:
    """The committed versions."""

    def __init__(self, folder: Path = schemas.FOLDER, subject: Subject = schemas.EVENTS):
        self._folder = folder
        self._subject = subject
        self.name = f"{folder.name}/"

    def newest(self) -> int:
        """The number of the newest version."""
        if not schemas.is_written(self._folder, self._subject):
            raise ArtifactError(
                f"the newest version in {self._folder} is not the schema of {self._subject.contract}: "
                f"run `{schemas.COMMAND}`"
            )
        return schemas.versions(self._folder, self._subject)[-1]

    def schema(self, schema_id: int) -> Any:
        """The document of a version."""
        try:
            return json.loads(schemas.path(schema_id, self._folder, self._subject).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None


class Remote:
    """A registry at a URL, which may hold a user and a password."""

    def __init__(self, url: str, subject: Subject = schemas.EVENTS):
        self._subject = subject
        self._url = url.rstrip("/")
        parts = urlsplit(url)
        self.name = f"the schema registry at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def newest(self) -> int:
        """Look the contract's schema up, and register it where it is new."""
        document = {"schema": json.dumps(self._subject.schema())}
        found = self._ask("POST", f"/subjects/{self._subject.name}", document)
        if found is None:
            self._check(document)
            found = self._ask("POST", f"/subjects/{self._subject.name}/versions", document)
        if not isinstance(found, dict) or type(found.get("id")) is not int:
            raise self._error(f"gave no id for the schema of {self._subject.contract}")
        return found["id"]

    def schema(self, schema_id: int) -> Any:
        """The document of an id; None as well where it is no Avro."""
        found = self._ask("GET", f"/schemas/ids/{schema_id}")
        if found is None:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("schema"), str):
            raise self._error(f"gave no schema for id {schema_id}")
        if found.get("schemaType", "AVRO") != "AVRO":
            return None
        try:
            return json.loads(found["schema"])
        except ValueError:
            return None

    def _check(self, document: dict[str, str]) -> None:
        """Refuse, with the registry's reasons, a schema that its newest version cannot be followed by."""
        answer = self._ask(
            "POST", f"/compatibility/subjects/{self._subject.name}/versions/latest?verbose=true", document
        )
        if answer is None:  # no version yet
            return
        if not isinstance(answer, dict) or "is_compatible" not in answer:
            raise self._error(f"did not say whether the schema of {self._subject.contract} is compatible")
        if not answer["is_compatible"]:
            reasons = "; ".join(map(str, answer.get("messages", []))) or "no reason given"
            raise self._error(
                f"says that the schema of {self._subject.contract} cannot follow its newest one: {reasons}"
            )

    def _ask(self, method: str, path: str, document: dict[str, str] | None = None) -> Any:
        """The answer's document, or None where the registry says that there is none."""
        headers = {"accept": _CONTENT_TYPE, "content-type": _CONTENT_TYPE}
        body = None if document is None else json.dumps(document)
        try:
            answer = requests.request(method, self._url + path, data=body, headers=headers, timeout=TIMEOUT_SECONDS)
            content = answer.json()
        except requests.JSONDecodeError:
            raise self._error("answers without JSON: is that a schema registry?") from None
        except requests.RequestException as error:
            raise self._error(f"does not answer ({type(error).__name__}): is it up?") from None
        if answer.status_code == 200:
            return content
        code, message = (content.get(key) if isinstance(content, dict) else None for key in ("error_code", "message"))
        if answer.status_code == 404 and code in _NONE:
            return None
        raise self._error(f"answers {answer.status_code} to {method} {path}: {message}")

    def _error(self, text: str) -> StackError:
        return StackError(f"{self.name} {text}")
