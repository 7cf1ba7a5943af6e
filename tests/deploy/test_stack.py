"""Up and down with stand-in parts: order, one failing part, taken ports."""

from __future__ import annotations

import functools
import socket
import sys
from pathlib import Path

import pytest

from contracts.artifacts import write_json
from contracts.errors import StackError
from deploy import readiness, stack
from deploy.parts import Part
from deploy.ports import HOST
from deploy.site import Site, open_site
from deploy.supervisor import Program, Supervisor
from tests.running import free_port_base

pytestmark = pytest.mark.integration

NAMES = {
    "redis": "redis",
    "broker": "kafka",
    "collector": "collector",
    "lake": "lake_metrics",
    "processor": "processor_metrics",
    "impressions": "impressions_metrics",
    "triton_a": "triton_a_http",
    "triton_b": "triton_b_http",
    "envoy": "public",
    "watchdog": "watchdog_metrics",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIREME_ROOT", str(tmp_path))
    monkeypatch.setenv("TRIREME_PORT_BASE", str(free_port_base()))
    made = open_site("configs/smoke.toml")
    write_json(f"{made.zones.releases}/current.json", {"release": "r1"})
    monkeypatch.setattr(stack, "PREPARATIONS", ())
    yield made
    stack.down(made)


@pytest.fixture
def executed(monkeypatch) -> list[str]:
    """Names of the commands that ``up`` runs between the parts; they are not run."""
    names: list[str] = []
    monkeypatch.setattr(stack, "_execute", lambda site, supervisor, name, *command: names.append(name))
    return names


def _parts(site: Site, broken: str = "", mark: str = "") -> tuple[Part, ...]:
    """Every part is a small web server; ``broken`` ends at once with a message."""

    def part(name: str, port: int) -> Part:
        serve = (sys.executable, "-m", "http.server", "--bind", HOST, str(port), "--directory", str(site.root))
        argv = (sys.executable, "-c", "raise SystemExit('the disk is on fire')") if name == broken else serve
        ready = functools.partial(readiness.http_ok, port, "/")
        return Part(Program(name, argv, {"MARK": mark}), (NAMES[name],), ready, timeout_seconds=20)

    return tuple(part(name, site.ports[port]) for name, port in NAMES.items())


def _states(site: Site) -> dict[str, str]:
    return {line.name: line.state for line in stack.status(site)}


def test_up_starts_all_and_down_stops_all(site, executed, monkeypatch):
    assert set(_states(site).values()) == {"STOPPED"}
    monkeypatch.setattr(stack, "parts", _parts)
    stack.up(site)
    assert set(_states(site)) == set(NAMES)
    # supervisord calls a process RUNNING when it is a second old.
    assert set(_states(site).values()) <= {"STARTING", "RUNNING"}
    pids = {line.name: line.pid for line in stack.status(site)}
    stack.up(site)
    assert {line.name: line.pid for line in stack.status(site)} == pids, "a second up must change nothing"
    assert executed == ["golden-triton_a", "golden-triton_b"], "a server that runs has proved itself"
    assert stack.down(site)
    assert set(_states(site).values()) == {"STOPPED"}
    assert not stack.down(site)


def test_a_part_that_changed_is_started_again(site, executed, monkeypatch):
    monkeypatch.setattr(stack, "parts", _parts)
    stack.up(site)
    before = {line.name: line.pid for line in stack.status(site)}
    changed = functools.partial(_parts, mark="2")
    monkeypatch.setattr(stack, "parts", lambda site: (*_parts(site)[:-1], changed(site)[-1]))
    stack.up(site)
    after = {line.name: line.pid for line in stack.status(site)}
    assert {name for name in NAMES if before[name] != after[name]} == {"watchdog"}


def test_a_part_that_cannot_start_is_named_with_its_last_words_and_nothing_stays_up(site, monkeypatch):
    monkeypatch.setattr(stack, "parts", functools.partial(_parts, broken="collector"))
    with pytest.raises(StackError) as caught:
        stack.up(site)
    assert str(caught.value).startswith("collector ")
    assert "the disk is on fire" in str(caught.value)
    assert not Supervisor(site.stack).is_running()


def test_a_taken_port_stops_up_before_anything_starts(site, monkeypatch):
    monkeypatch.setattr(stack, "parts", _parts)
    with socket.socket() as listener:
        listener.bind((HOST, site.ports["kafka"]))
        listener.listen()
        with pytest.raises(StackError, match=rf"{site.ports['kafka']} \(for kafka\) is taken by"):
            stack.up(site)
    assert not Path(site.stack / "supervisord.pid").exists()


def test_a_preparation_that_fails_is_named_and_nothing_stays_up(site, monkeypatch):
    monkeypatch.setattr(stack, "parts", _parts)
    monkeypatch.setattr(stack, "PREPARATIONS", ("nonsense",))
    with pytest.raises(StackError, match="streaming-nonsense failed with exit code 2"):
        stack.up(site)
    assert not Supervisor(site.stack).is_running()
