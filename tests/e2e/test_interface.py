"""The running stack keeps what its OpenAPI document promises: Schemathesis makes up requests, right and wrong ones.

What is right by the document may be refused still (a schema cannot say what is printable), but nothing that is wrong by
it is taken, and every answer is of a status and a shape that the document tells.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
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


def test_what_was_clicked_under_an_anonymous_id_counts_for_the_user_who_it_turns_out_to_be(url: str) -> None:
    with Client(url) as client:
        cookie, user = f"cookie-{uuid.uuid4().hex}", f"user-{uuid.uuid4().hex}"
        shown = client.recommend(Request("", anonymous_id=cookie, k=3))
        client.send(
            [
                {
                    "event_id": uuid.uuid4().hex,
                    "event_type": "click",
                    "user_id": cookie,
                    "item_id": item,
                    "request_id": shown.request_id,
                }
                for item in shown.item_ids
            ]
        )
        known = Request(user, anonymous_id=cookie)
        end = time.monotonic() + 10
        while client.recommend(known).feature_age_ms < 0:
            assert time.monotonic() < end, "the clicks are not known after 10 s"
            time.sleep(0.05)
        assert client.recommend(Request(user)).feature_age_ms == -1, "who does not name the cookie is a stranger"
    assert (shown.user_id, shown.feature_age_ms) == (cookie, -1)
