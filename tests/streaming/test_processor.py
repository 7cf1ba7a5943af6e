"""Every event counts once in the online store: through kill -9, a frozen broker, and a broker that forgot."""

import random
import signal
import threading
from collections import Counter

import pytest

from contracts import live_files
from contracts.buckets import bucket_of
from contracts.features import MS_PER_DAY
from contracts.folds import Interaction, fold, row
from streaming import topics
from streaming.online import OnlineStore
from streaming.publisher import Publisher, Record
from tests.streaming.services import wait_until
from tests.streaming.stack import DEPARTMENTS, NOW, Stack, assert_same_row, click, dwell, moved, running

pytestmark = pytest.mark.integration

HISTORY = [click("u0", "h0", "i3", 90_000_000), click("u1", "h1", "i4", 80_000_000)]


def expected(stack: Stack, events):
    """Behaviour rows by user, of each event id's first event."""
    once = {}
    for event in events:
        interaction = Interaction(event.event_time, event.event_id, event.item_id, DEPARTMENTS.get(event.item_id, ""))
        once.setdefault(event.user_id, {}).setdefault(event.event_id, interaction)
    settings = stack.config.features
    return {user: row(fold(list(log.values()), settings), settings) for user, log in once.items()}


def assert_rows(stack: Stack, events) -> None:
    for user, document in expected(stack, events).items():
        assert_same_row(stack.row(user), document)


def assert_counts(stack: Stack, events) -> None:
    """The counts by bucket are those of each event id's first event."""
    once = {(event.user_id, event.event_id): event for event in reversed(events)}.values()
    store = OnlineStore(stack.settings.redis_address, stack.config.features)
    expected = Counter(
        bucket_of(event.event_time, event.region, event.item_id, stack.config.features) for event in once
    )
    assert store.counts(as_of=NOW + 10 * MS_PER_DAY) == expected


def in_the_lake(stack: Stack) -> int:
    """How many records the live files hold."""
    return sum(file.last - file.first + 1 for file in live_files.live_files(stack.zones))


def test_kill_9_in_mid_run_counts_every_event_once(stack):
    stack.fill(HISTORY)
    rng = random.Random(7)
    log = [
        click(f"u{rng.randrange(40)}", f"e{n}", f"i{rng.randrange(30)}", rng.randrange(3_600_000)) for n in range(4000)
    ]
    planted = rng.sample(log, 400)  # sent a second time, somewhere later
    sent = log + planted
    processor = stack.process("processor")
    done = threading.Event()

    def publish():
        stack.publish(sent, pause=0.05)
        done.set()

    topics.ensure(stack.settings)
    thread = threading.Thread(target=publish)
    kills_in_mid_run = 0
    with running(processor):
        thread.start()
        for _ in range(3):
            held = stack.folded()
            wait_until(lambda held=held: stack.folded() > held + 40 or done.is_set(), 40, "events in the online store")
            processor.kill()
            kills_in_mid_run += stack.folded() < len(sent)
            processor.start()
        thread.join()
        wait_until(lambda: stack.folded() == len(sent), 40, "all events in the online store")
        assert processor.stop() == 0
    assert kills_in_mid_run == 3
    assert_rows(stack, HISTORY + log)
    assert_counts(stack, HISTORY + log)


def test_an_item_that_moved_counts_in_its_new_department_from_then_on_also_after_a_restart(stack):
    stack.fill(HISTORY)
    processor = stack.process("processor")
    bought = [click("m0", f"m{n}", "i5", 5000 - 1000 * n) for n in range(4)]
    with running(processor):
        wait_until(lambda: stack.position().incarnation, 30, "the processor")
        folded = stack.folded()
        stack.publish([bought[0]])
        stack.publish([moved("i5", "moves", "wine", 4000)])
        wait_until(lambda: stack.folded() == folded + 2, 20, "the update")
        stack.publish(bought[1:2])
        wait_until(lambda: stack.folded() == folded + 3, 20, "an event after it")
        processor.kill()  # the lake writer does not run: only the topic knows of the update
        processor.start()
        stack.publish([*bought[2:], click("m0", "before", "i5", 4001)])
        wait_until(lambda: stack.folded() == folded + 6, 30, "events after the restart")
    new = [Interaction(each.event_time, each.event_id, "i5", "wine") for each in bought[1:]]
    assert stack.items()["i5"] == {"department": "wine"}
    old = [Interaction(NOW - ago, name, "i5", DEPARTMENTS["i5"]) for name, ago in (("m0", 5000), ("before", 4001))]
    assert_same_row(stack.row("m0"), row(fold(old + new, stack.config.features), stack.config.features))


def test_an_undecodable_record_is_counted_and_passed_over(stack):
    stack.fill(HISTORY)
    processor = stack.process("processor")
    with running(processor):
        wait_until(lambda: stack.position().incarnation, 30, "the processor")
        folded = stack.folded()
        publisher = Publisher(stack.settings, 5)
        publisher.publish([Record(b"u0", b"\0\0\0\0\1 no event")])
        publisher.close()
        good, late = click("v0", "good", "i2", 1000), click("v0", "late", "i2", 25 * 3_600_000)
        stack.publish([good, late, good, click("v0", "seen", kind="impression"), dwell("v0", "read", 321, 500)])
        wait_until(lambda: stack.folded() == folded + 6, 20, "six records")
        outcomes = ("applied", "duplicate", "late", "undecodable", "no_interaction")
        names = [f'trireme_processor_events_total{{outcome="{name}"}}' for name in outcomes]
        # The figures follow the store, by a moment.
        wait_until(lambda: sum(map(stack.metrics("processor").get, names)) == 6, 20, "the figures of six records")
        figures = stack.metrics("processor")
    assert [figures[name] for name in names] == [2, 1, 1, 1, 1]
    assert figures["trireme_processor_lag_events"] == 0
    assert figures["trireme_processor_event_to_feature_seconds_count"] == 6
    assert stack.row("v0")["recent_item_ids"] == ["i2"] and stack.row("v0")["session_dwell_ms"] == 321


def test_a_frozen_broker_delays_and_a_forgetful_one_costs_nothing(stack):
    """One life of the stack: events, a freeze, a broker that comes back empty, and events again."""
    stack.fill(HISTORY)
    stack.broker.kill()
    stack.broker.start()
    with stack.client() as client:
        client.flushall()
    processor, writer = stack.process("processor"), stack.process("lake", "--flush-seconds", "0.2")
    first = [click(f"w{n % 5}", f"f{n}", f"i{n % 30}", 60_000 + n) for n in range(200)]
    second = [click(f"w{n % 5}", f"s{n}", f"i{n % 30}", n) for n in range(50)]
    with running(writer, processor):
        wait_until(lambda: stack.position().incarnation, 30, "the processor")
        stack.publish(first)
        wait_until(lambda: stack.row("w4")["interaction_count"] == 40, 20, "the first events")
        assert_rows(stack, HISTORY + first)
        before = stack.position().incarnation
        wait_until(lambda: in_the_lake(stack) == 200, 20, "the first events in the lake")

        stack.broker.send(signal.SIGSTOP)
        threading.Event().wait(3)
        assert stack.row("w4")["interaction_count"] == 40
        stack.broker.send(signal.SIGCONT)

        stack.broker.kill()
        stack.broker.start()
        wait_until(lambda: stack.position().incarnation not in ("", before), 30, "a new incarnation")
        assert_rows(stack, HISTORY + first)
        stack.publish([*second, *first[:20]])  # and some that a sender was not sure of
        wait_until(lambda: stack.row("w4")["interaction_count"] == 50, 20, "the events after the loss")
        wait_until(lambda: stack.folded() == 70, 20, "all records of the new incarnation")
        assert_rows(stack, HISTORY + first + second)
        assert_counts(stack, HISTORY + first + second)
        wait_until(lambda: in_the_lake(stack) == 270, 20, "the other events in the lake")

    # Redis forgets as well: everything comes back from the lake alone.
    with stack.client() as client:
        client.flushall()
    with running(processor):
        wait_until(lambda: stack.position().incarnation, 30, "the rebuild")
        assert_rows(stack, HISTORY + first + second)
        assert_counts(stack, HISTORY + first + second)


def test_the_rebuild_command_leaves_the_work_to_a_running_processor(stack, monkeypatch, capsys):
    from streaming.__main__ import main
    from tests.streaming.stack import CONFIG

    stack.fill(HISTORY)
    for name, value in stack.environ.items():
        monkeypatch.setenv(name, value)
    assert main(["rebuild", str(CONFIG), "--force"]) == 0
    assert '"by": "command"' in capsys.readouterr().out
    assert main(["rebuild", str(CONFIG)]) == 0
    assert '"rebuilt": false' in capsys.readouterr().out
    with running(stack.process("processor")):
        wait_until(lambda: stack.client().get("trireme:lease"), 30, "the processor")
        assert main(["rebuild", str(CONFIG), "--force"]) == 0
        assert '"by": "processor"' in capsys.readouterr().out
        stack.publish([click("x", "after the rebuild")])
        wait_until(lambda: stack.row("x")["interaction_count"] == 1, 20, "an event after the rebuild")
        with stack.client() as client:
            client.flushall()  # while the processor runs: it notices by itself
        wait_until(lambda: stack.row("x")["interaction_count"] == 1, 30, "the row again")
        assert_rows(stack, HISTORY)
