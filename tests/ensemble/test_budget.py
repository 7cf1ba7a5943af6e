"""A step that takes too long: given up in time, counted, and not begun again while two of its runs hang."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.budget import LEAST_MS, MOST_MS, Budgeted, OverrunError, Worker, step_budget_ms
from ensemble.faults import FaultError, Faults
from ensemble.serving import ColdStartStep, LookupStep, RankerStep, RetrievalStep
from ensemble.steps.chain import Chain
from tests.ensemble.fake_backend import Request, strings
from tests.ensemble.made_up import CUT, World

from ensemble import triton_io  # isort: skip  # after the fake backend, which takes the server's place


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Calls that wait for it hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_a_step_may_use_half_of_what_the_request_in_the_greatest_hurry_has_left() -> None:
    assert step_budget_ms([1000, 400]) == 200


def test_no_step_may_take_longer_than_envoy_waits_for_a_server() -> None:
    assert step_budget_ms([10_000]) == MOST_MS


def test_requests_whose_time_is_over_do_not_hurry_the_others() -> None:
    assert step_budget_ms([1000, 0, -70]) == 500
    assert step_budget_ms([1, -1]) == LEAST_MS
    assert step_budget_ms([-1], 100.0) == 100


def test_results_and_errors_come_back_as_they_are() -> None:
    worker = Worker("w")
    assert worker.run(lambda: 7, 1000) == 7
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0, 1000)
    assert worker.run(threading.get_ident, 1000) == worker.run(threading.get_ident, 1000) != threading.get_ident()


def test_a_call_that_hangs_is_given_up_in_time_and_the_next_one_runs(gate: threading.Event) -> None:
    worker, started = Worker("w"), time.monotonic()
    with pytest.raises(OverrunError, match="longer than its 50 ms"):
        worker.run(gate.wait, 50)
    assert time.monotonic() - started < 1
    assert worker.left_behind == 1
    assert worker.run(lambda: 8, 1000) == 8


def test_while_two_hang_nothing_is_begun_and_when_they_come_back_all_is_well(gate: threading.Event) -> None:
    worker, begun = Worker("w"), []
    for _ in range(2):
        with pytest.raises(OverrunError):
            worker.run(gate.wait, 20)
    with pytest.raises(OverrunError, match="not begun: 2 earlier runs hang"):
        worker.run(lambda: begun.append(1), 1000)
    assert not begun
    gate.set()
    end = time.monotonic() + 5
    while worker.left_behind:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert worker.run(lambda: 9, 1000) == 9


def test_a_fault_strikes_the_stage_that_the_file_names_and_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "fault"
    ranker, retrieval = Faults(str(file), "ranker"), Faults(str(file), "retrieval")
    ranker.strike()
    file.write_text("ranker:raise\n")
    retrieval.strike()
    with pytest.raises(FaultError):
        ranker.strike()
    file.write_text("")
    ranker.strike()


def test_without_the_variable_no_file_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Path] = []
    monkeypatch.setattr(Path, "read_text", lambda path, encoding: looked_at.append(path) or "ranker:raise")
    with pytest.raises(FaultError):
        Faults("fault", "ranker").strike()
    Faults("", "ranker").strike()
    assert looked_at == [Path("fault")]


class Shells:
    """The four shells as the ensemble calls them, each step under its budget, with a fault file between."""

    def __init__(self, chain: Chain, world: World, file: Path):
        class Store:
            def read(self, user_ids):
                return [world.row(1, CUT) for _ in user_ids]

        self.hung: dict[str, int] = {}
        steps = {
            "feature_lookup": LookupStep(chain.lookup, Store()),
            "retrieval": RetrievalStep(chain.retrieval),
            "ranker": RankerStep(chain.ranker),
            "cold_start": ColdStartStep(chain.cold_start, lambda answer: None),
        }
        self.steps = steps
        self.ask(3, 4000)  # what is made at a first use is made
        self.steps = {
            name: Budgeted(name, step, lambda n, name=name: self.hung.update({name: n}), Faults(str(file), name))
            for name, step in steps.items()
        }

    def ask(self, count: int, deadline_ms: int) -> tuple[list[dict], float]:
        body = json.dumps({"user_id": "u", "deadline_ms": deadline_ms})
        held = [{"request": strings(body)} for _ in range(count)]
        started = time.monotonic()
        for name, step in self.steps.items():
            found = triton_io.execute([Request(**tensors) for tensors in held], name, step)
            held = [tensors | response.tensors for tensors, response in zip(held, found)]
        return [json.loads(tensors["response"][0, 0]) for tensors in held], (time.monotonic() - started) * 1000


@pytest.mark.parametrize("stage", ["feature_lookup", "retrieval", "ranker", "cold_start"])
def test_a_batch_whose_stage_hangs_is_answered_degraded_within_its_deadline(
    chain: Chain, world: World, tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ensemble.faults.HANG_SECONDS", 5.0)
    file = tmp_path / "fault"
    shells = Shells(chain, world, file)
    file.write_text(f"{stage}:hang")
    for runs in (1, 2):
        answers, took_ms = shells.ask(3, 4000)
        assert took_ms < 4000
        assert shells.hung[stage] == runs
        for answer in answers:
            assert [skipped["stage"] for skipped in answer["skipped"]] == [stage]
            assert "OverrunError" in answer["skipped"][0]["reason"]
            assert len(set(answer["item_ids"])) == 20
    answers, _ = shells.ask(1, 4000)
    assert "not begun" in answers[0]["skipped"][0]["reason"]
