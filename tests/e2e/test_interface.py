"""The running stack keeps what its OpenAPI document promises: Schemathesis makes up requests, right and wrong ones.

What is right by the document may be refused still (a schema cannot say what is printable), but nothing that is wrong by
it is taken, and every answer is of a status and a shape that the document tells.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.requests import Request, SimilarRequest
from deploy.ports import HOST
from ensemble.client import Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


@pytest.fixture
def url(platform) -> str:
    return f"http://{HOST}:{platform[0].port_base}"


def test_every_route_keeps_what_the_document_promises(url: str, tmp_path: Path) -> None:
    settings = Path(__file__).with_name("schemathesis.toml")
    argv = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(settings), "--no-color", "run"]
    argv += [f"{url}/openapi.json", "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"]
    # A fixed seed: a failure is one of a change, not of chance. Events beyond the door's rate would be 429, as told.
    argv += [
        "--max-examples",
        "10",
        "--seed",
        "1",
        "--no-shrink",
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 4" in done.stdout, "all routes but that of the document itself"


def test_the_client_gets_answers(url: str) -> None:
    with Client(url) as client:
        answer = client.recommend(
            Request("nobody-yet", k=5, anonymous_id="cookie", session_id="s", context={"page": 1})
        )
        both = client.recommend_all([Request("nobody-yet", k=3), Request("", k=3)])
        similar = client.similar(SimilarRequest(answer.item_ids[0], k=3))
    assert (len(answer.item_ids), answer.user_id) == (5, "nobody-yet")
    assert [type(one).__name__ for one in both] == ["Answer", "RequestError"]
    assert len(similar.item_ids) == 3
