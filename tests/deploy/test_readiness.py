"""Waiting for a part: until it does what it is for, and no longer than it lives or may take."""

from __future__ import annotations

import http.client

import pytest
import redis

from contracts.errors import StackError
from deploy.readiness import log_tail, wait_ready


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "part.log"
    path.write_text("".join(f"line {i}\n" for i in range(100)))
    return path


@pytest.mark.parametrize(
    "trouble",
    [ConnectionRefusedError(), TimeoutError(), http.client.BadStatusLine("x"), redis.BusyLoadingError("loading")],
    ids=lambda trouble: type(trouble).__name__,
)
def test_a_part_that_is_not_there_yet_is_waited_for(log, trouble):
    troubles = [trouble, trouble]

    def check() -> bool:
        if troubles:
            raise troubles.pop()
        return True

    wait_ready("redis", check, 5, log, lambda: True)
    assert troubles == []


def test_time_over_is_said_with_the_parts_name_and_its_last_words(log):
    with pytest.raises(StackError) as caught:
        wait_ready("triton_a", lambda: False, 0.01, log, lambda: True)
    text = str(caught.value)
    assert text.startswith("triton_a is not ready after")
    assert str(log) in text
    assert "line 99" in text
    assert "line 50" not in text


def test_a_part_that_ended_is_not_waited_for(log):
    with pytest.raises(StackError, match="broker ended"):
        wait_ready("broker", lambda: False, 60, log, lambda: False)


def test_a_log_that_is_not_there_is_no_error(tmp_path):
    assert log_tail(tmp_path / "none") == "    (no log)"
