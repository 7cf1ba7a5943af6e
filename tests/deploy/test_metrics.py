"""The page of metrics lists what is exported, all of it; rules watch nothing else; names keep to the conventions."""

from __future__ import annotations

import re

import pytest
from prometheus_client import REGISTRY

from tests.streaming.services import PROJECT  # isort: skip (imports kafka without its warning)

import contracts.metrics
from contracts.metrics import COUNTER, HISTOGRAM, REASONS, Metric, degraded_by
from deploy import monitoring, watchdog
from streaming import collector, impressions, lake_writer, processor
from streaming.publisher import Publisher
from streaming.settings import stream_settings

PAGE = PROJECT / "docs" / "metrics.md"
#: By prometheus_client's types.
TYPES = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}


def listed() -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> type and labels, of the page's tables."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        match = re.match(r"\| `(trireme_\w+)` \| (\w+)((?:, `\w+`)*) \|", line)
        if match:
            assert match[1] not in found, f"{match[1]} is listed twice"
            found[match[1]] = match[2], frozenset(re.findall(r"`(\w+)`", match[3]))
    return found


def exported() -> dict[str, tuple[str, frozenset[str]]]:
    """The same of what the processes export."""
    modules = (lake_writer, impressions, processor, watchdog)
    assert all(modules), "importing them registers their figures"
    of_collector = collector.Collector(Publisher(stream_settings({}), 1)).registry
    found = {}
    for registry in (REGISTRY, of_collector):
        for held in list(registry._collector_to_names):
            for family in held.collect() if hasattr(held, "_labelnames") else ():
                suffix = "_total" if family.type == "counter" else ""
                found[family.name + suffix] = TYPES[family.type], frozenset(held._labelnames)
    for metric in vars(contracts.metrics).values():
        if isinstance(metric, Metric):
            found[metric.name] = metric.kind, frozenset({metric.label} - {""})
    return {name: value for name, value in found.items() if name.startswith("trireme_")}


def test_the_page_lists_what_is_exported_and_nothing_else() -> None:
    assert listed() == exported()


def test_names_keep_to_the_conventions() -> None:
    for name, (kind, labels) in exported().items():
        assert (kind == COUNTER) == name.endswith("_total"), name
        assert not re.search(r"_(ms|millis|milliseconds|mib|kb|minutes|hours)(_|$)", name), f"{name}: base units"
        assert kind != HISTOGRAM or name.endswith(("_seconds", "_bytes", "_requests")), f"{name}: of what?"
        assert not labels & {"le", "quantile", "user_id", "item_id", "request_id"}, name


def test_rules_watch_listed_figures_and_alerts_are_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")
    known = {re.sub("_bucket$", "", name) for name in listed()}
    for rule in monitoring.rules()["groups"][0]["rules"]:
        named = set(re.findall(r"\btrireme_\w+", rule["expr"]))
        assert {re.sub("_bucket$", "", name) for name in named} <= known, rule
        series = set(re.findall(r"trireme:[\w:]+", rule["expr"]))
        assert series <= set(monitoring.RECORDED), rule
        assert "alert" not in rule or f"| `{rule['alert']}` |" in page


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("deadline passed 3 ms before it started", "deadline"),
        ("online store did not answer within 0.1 s", "online_store"),
        ("OverrunError: took longer than its 300 ms", "overrun"),
        ("Error: took longer than its 300 ms", "overrun"),
        ("no item of the release has this id", "unknown_item"),
        ("3 of 20 items: no others may be listed", "few_items"),
        ("KeyError: 'x'", "failure"),
        ("anything \N{SNOWMAN} from outside", "failure"),
    ],
)
def test_a_reason_is_told_by_one_of_few_words(reason: str, label: str) -> None:
    assert degraded_by(reason) == label and label in {*REASONS.values(), "failure"}
