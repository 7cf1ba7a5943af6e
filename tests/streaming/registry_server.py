"""A schema registry over HTTP, as far as Confluent's REST contract is used here; written from that contract alone."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RegistryServer:
    """Schemas by id and subjects by name; ``requests`` tells what was asked, ``fault`` what is answered instead."""

    def __init__(self, first_id: int = 41, port: int = 0):
        self.ids: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, list[int]] = {}
        self.requests: list[str] = []
        self.authorization: str | None = None
        self.fault: tuple[int, bytes] | None = None
        self.seconds = 0.0
        self._next = first_id
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                server.requests.append(f"{self.command} {self.path}")
                server.authorization = self.headers.get("authorization")
                time.sleep(server.seconds)
                status, document = server.answer(self.command, self.path, json.loads(body) if body else None)
                content = document if isinstance(document, bytes) else json.dumps(document).encode()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked may have gone by now
                    self.send_response(status)
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def put(self, subject: str, schema: str, kind: str = "AVRO") -> int:
        """Register without a check; the id."""
        number, self._next = self._next, self._next + 1
        self.ids[number] = {"schema": schema, **({} if kind == "AVRO" else {"schemaType": kind})}
        self.subjects.setdefault(subject, []).append(number)
        return number

    def answer(self, method: str, path: str, document: Any) -> tuple[int, Any]:
        if self.fault:
            return self.fault
        match [method, *path.partition("?")[0].strip("/").split("/")]:
            case ["GET", "schemas", "ids", number]:
                found = self.ids.get(int(number))
                return (200, found) if found else (404, {"error_code": 40403, "message": "Schema not found"})
            case ["POST", "subjects", subject]:
                return self._look_up(subject, document["schema"])
            case ["POST", "subjects", subject, "versions"]:
                code, found = self._look_up(subject, document["schema"])
                return 200, {"id": found["id"] if code == 200 else self.put(subject, document["schema"])}
            case ["POST", "compatibility", "subjects", subject, "versions", "latest"]:
                if subject not in self.subjects:
                    return 404, {"error_code": 40401, "message": "Subject not found"}
                return 200, self._compatible(subject, json.loads(document["schema"]))
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _look_up(self, subject: str, schema: str) -> tuple[int, Any]:
        if subject not in self.subjects:
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        for version, number in enumerate(self.subjects[subject], 1):
            if json.loads(self.ids[number]["schema"]) == json.loads(schema):
                return 200, {"subject": subject, "version": version, "id": number, "schema": schema}
        return 404, {"error_code": 40403, "message": "Schema not found"}

    def _compatible(self, subject: str, new: Any) -> dict[str, Any]:
        old = json.loads(self.ids[self.subjects[subject][-1]]["schema"])
        known = {field["name"] for field in old["fields"]}
        bad = [field["name"] for field in new["fields"] if field["name"] not in known and "default" not in field]
        return {"is_compatible": not bad, "messages": [f"READER_FIELD_MISSING_DEFAULT_VALUE: {name}" for name in bad]}

    @contextlib.contextmanager
    def running(self) -> Iterator[RegistryServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()
