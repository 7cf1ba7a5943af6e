"""What the watchdog makes of what it sees; the remedies themselves are drilled (`make drill-serving`)."""

from __future__ import annotations

import http.server
import threading
import time
import types
from collections.abc import Iterator

import pytest

from contracts.tensors import HUNG_THREADS
from deploy import diagnosis, remedies, tritonserver, watchdog
from deploy.diagnosis import Finding, Kind, examine, judge
from deploy.ports import HOST
from deploy.site import open_site
from deploy.watchdog import MOST_PAUSE_SECONDS, PATIENCE, PAUSE_SECONDS, REPLACE, RESTART, Ward, Watch
from tests.running import free_port_base

DEAD = Finding(Kind.DEAD_STUB, "ranker")
STUCK = Finding(Kind.STUCK, "ranker")
SILENT = Finding(Kind.SILENT)
HEALTHY = Finding(Kind.HEALTHY)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ward(clock: Clock) -> Ward:
    """Of a server that has answered once."""
    made = Ward(clock)
    assert made.decide(HEALTHY) == ""
    return made


def test_a_dead_stub_is_replaced_at_the_first_look(ward: Ward) -> None:
    assert ward.decide(DEAD) == REPLACE


def test_a_server_whose_stub_stays_dead_though_it_was_replaced_is_started_anew(ward: Ward, clock: Clock) -> None:
    found = []
    for _ in range(PATIENCE + 1):
        found.append(ward.decide(DEAD))
        clock.now += 1
    assert found[0] == REPLACE
    assert RESTART in found


def test_a_stage_that_hangs_again_and_again_is_replaced_ever_more_rarely_and_costs_no_server(
    ward: Ward, clock: Clock
) -> None:
    at = []
    for second in range(300):
        remedy = ward.decide(STUCK)
        assert remedy != RESTART
        if remedy:
            at.append(second)
        clock.now += 1
    gaps = [later - earlier for earlier, later in zip(at, at[1:])]
    assert gaps == sorted(gaps)
    assert gaps[0] == PAUSE_SECONDS[REPLACE]
    assert gaps[-1] == MOST_PAUSE_SECONDS[REPLACE]


def test_a_stage_that_is_stuck_at_one_look_alone_is_let_be(ward: Ward) -> None:
    assert [ward.decide(STUCK), ward.decide(HEALTHY), ward.decide(STUCK), ward.decide(HEALTHY)] == [""] * 4
    assert [ward.decide(STUCK), ward.decide(STUCK)] == ["", REPLACE]


def test_a_server_whose_native_code_hangs_is_started_anew(ward: Ward) -> None:
    assert [ward.decide(Finding(Kind.STUCK)), ward.decide(Finding(Kind.STUCK))] == ["", RESTART]


def test_after_a_minute_of_health_a_remedy_is_as_quick_as_ever(ward: Ward, clock: Clock) -> None:
    for _ in range(100):
        ward.decide(STUCK)
        clock.now += 1
    clock.now += 61
    ward.decide(HEALTHY)
    assert [ward.decide(STUCK), ward.decide(STUCK)] == ["", REPLACE]
    clock.now += PAUSE_SECONDS[REPLACE]
    assert ward.decide(STUCK) == REPLACE


def test_one_silent_look_is_no_reason_and_several_in_a_row_are(ward: Ward) -> None:
    assert [ward.decide(SILENT), ward.decide(HEALTHY)] == ["", ""]
    assert [ward.decide(SILENT) for _ in range(PATIENCE)] == [""] * (PATIENCE - 1) + [RESTART]


def test_a_server_that_was_started_is_let_be_while_it_loads(ward: Ward, clock: Clock) -> None:
    ward.started()
    for _ in range(int(PAUSE_SECONDS[RESTART])):
        assert ward.decide(Finding(Kind.ABSENT)) == ""
        clock.now += 1
    assert ward.decide(Finding(Kind.ABSENT)) == RESTART


@pytest.mark.parametrize(("state", "mended"), [("RUNNING", [False] * 4 + [True]), ("STOPPING", [False] * 5)])
def test_a_silent_server_is_started_anew_unless_somebody_stops_it(
    monkeypatch: pytest.MonkeyPatch, state: str, mended: list[bool]
) -> None:
    found = iter([HEALTHY, *[SILENT] * 5, *[SILENT] * 5])
    called: list[str] = []
    monkeypatch.setattr(watchdog, "examine", lambda *_: next(found))
    monkeypatch.setattr(remedies, "restart", lambda site, server: called.append(server))
    stack = types.SimpleNamespace(processes=lambda: {"triton_a": {"statename": state, "pid": 7}})
    monkeypatch.setattr(watchdog, "Supervisor", lambda folder: stack)
    monkeypatch.setattr(tritonserver, "end_orphans", lambda folder: 0)
    watch = Watch(open_site("configs/smoke.toml"), "triton_a", threading.Lock())
    seen = []
    for _ in mended:
        watch.look()
        seen.append(bool(called))
    assert seen == mended


def test_an_error_of_a_dead_stub_names_its_model() -> None:
    said = "in ensemble 'recommendations_json', Stub process 'feature_lookup_0_0' is not healthy."
    assert judge(500, said, "") == Finding(Kind.DEAD_STUB, "feature_lookup", f"500: {said}")
    assert judge(500, "something else", "").kind is Kind.FAILING


@pytest.mark.parametrize(("number", "kind"), [("0", Kind.HEALTHY), ("1", Kind.HEALTHY), ("2.000000", Kind.STUCK)])
def test_two_threads_that_hang_are_a_stage_that_is_stuck(number: str, kind: Kind) -> None:
    page = f'# TYPE {HUNG_THREADS} gauge\n{HUNG_THREADS}{{stage="ranker"}} {number}\nother{{stage="x"}} 9\n'
    assert judge(200, "{}", page).kind is kind


class _Silent(http.server.BaseHTTPRequestHandler):
    """A server that takes requests and says nothing."""

    def do_POST(self) -> None:
        time.sleep(1)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def silent() -> Iterator[int]:
    port = free_port_base()
    server = http.server.ThreadingHTTPServer((HOST, port), _Silent)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield port
    server.shutdown()
    server.server_close()


def test_who_does_not_answer_in_time_is_silent_and_where_nobody_listens_there_is_nobody(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "TIMEOUT_SECONDS", 0.2)
    assert examine(silent, silent).kind is Kind.SILENT
    assert examine(free_port_base(), silent).kind is Kind.ABSENT
