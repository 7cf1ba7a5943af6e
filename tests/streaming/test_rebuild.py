"""The online store from the lake: the same rows as the stream's, nothing twice, and nothing known thrown away."""

import dataclasses
import json
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts import item_state, live_files
from contracts.buckets import bucket_of
from contracts.config import load
from contracts.errors import ArtifactError
from contracts.features import MS_PER_DAY
from contracts.folds import Dwell, Interaction, fold, row
from streaming import lake, updates
from streaming.__main__ import main
from streaming.codec import encode
from streaming.lake_writer import Buffer, write
from streaming.online import FencedError, OnlineStore, Position
from streaming.rebuild import is_current, make_current, rebuild
from streaming.topics import Topic
from tests.streaming.stack import CONFIG, DEPARTMENTS, NOW, Stack, assert_same_row, catalogue, click, dwell, moved, said

pytestmark = pytest.mark.integration

FIRST = Topic("a" * 32, (0, 1))
SECOND = Topic("b" * 32, (0, 1))
HOUR = 3_600_000
SETTINGS = load(CONFIG).features


@pytest.fixture
def store(stack):
    with stack.client() as client:
        client.flushall()
    stack.fill([click("u1", "h1", "i1", 5 * HOUR), click("u1", "h2", "i2", 4 * HOUR), click("u2", "h3", "i3", HOUR)])
    for file in live_files.live_files(stack.zones):
        Path(file.path).unlink()
    return OnlineStore(stack.settings.redis_address, stack.config.features)


def live(stack: Stack, partition: int, first: int, events, topic: Topic = FIRST) -> None:
    buffer = Buffer(partition, topic.incarnation)
    for offset, event in enumerate(events, first):
        buffer.take(offset, encode(event))
    write(stack.zones, buffer, datetime.now(timezone.utc))


def expected(stack: Stack, events):
    """The row that the batch would give for these events."""
    log = [
        Dwell(e.event_time, e.event_id, int(e.value))
        if e.event_type == "dwell"
        else Interaction(e.event_time, e.event_id, e.item_id, DEPARTMENTS.get(e.item_id, ""))
        for e in events
    ]
    return row(fold(log, stack.config.features), stack.config.features)


def test_history_and_live_files_become_rows_and_offsets(stack, store):
    new = [click("u1", "l1", "i4", 60_000), click("u3", "l2", "unheard of", 50_000)]
    live(stack, 0, 0, new)
    live(stack, 0, 2, [click("u1", "l1", "i4", 60_000), click("u1", "h1", "i1", 5 * HOUR)])  # sent twice: counts once
    live(stack, 1, 0, [click("u1", "l3", kind="impression")])  # no interaction
    done = rebuild(store, stack.config, stack.zones, FIRST)
    assert done.position.offsets == {0: 4, 1: 1} and (done.users, done.events) == (3, 5)
    assert store.position() == done.position
    h1, h2 = click("u1", "h1", "i1", 5 * HOUR), click("u1", "h2", "i2", 4 * HOUR)
    assert_same_row(stack.row("u1"), expected(stack, [h1, h2, new[0]]))
    assert_same_row(stack.row("u3"), expected(stack, [new[1]]))
    assert stack.row("u3")["count_categories"] == [""]


def test_a_broker_that_forgot_costs_nothing_that_the_store_or_the_lake_knew(stack, store):
    before = make_current(store, stack.config, stack.zones, FIRST).position
    unwritten = click("u1", "only in the store", "i5", 1000)  # the broker died before the lake writer had it
    batch, _, _ = updates.foldable([encode(unwritten)], catalogue())
    store.advance(before, {0: 1}, ["u1"], lambda held: updates.apply(held, batch, stack.config.features, {}))
    missed = [click("u1", "m1", "i7", 500), click("u4", "m2", "i8", 400)]  # written, and never processed
    live(stack, 0, 0, [unwritten, *missed])
    live(stack, 1, 5, [click("u4", "m3", "i9", 300), click("u4", "m2", "i8", 400)])
    assert not is_current(store.position(), SECOND, before.origin)

    made = make_current(store, stack.config, stack.zones, SECOND)
    assert not made.anew and made.events == 4 and made.position.offsets == {0: 0, 1: 0}
    assert is_current(store.position(), SECOND, before.origin)
    h1, h2 = click("u1", "h1", "i1", 5 * HOUR), click("u1", "h2", "i2", 4 * HOUR)
    assert_same_row(stack.row("u1"), expected(stack, [h1, h2, unwritten, missed[0]]))
    assert_same_row(stack.row("u4"), expected(stack, [missed[1], click("u4", "m3", "i9", 300)]))

    # Nothing is folded a second time at the next loss, but what came to the lake too late for the last one is.
    live(stack, 0, 3, [click("u4", "m4", "i1", 200)])
    third = make_current(store, stack.config, stack.zones, Topic("c" * 32, (0, 1)))
    assert (third.anew, third.events) == (False, 1)
    assert stack.row("u4")["interaction_count"] == 3


def test_dwell_of_history_and_lake_is_rebuilt_and_caught_up(stack, store):
    bought, read = click("u1", "h1", "i1", HOUR), dwell("u1", "h2", 2_500.7, HOUR - 1000)
    stack.fill([bought, read], fingerprint="with dwell")
    live(stack, 0, 0, [dwell("u1", "l1", 300, HOUR - 2000), read, dwell("u1", "too early", 9, HOUR + 1)])
    make_current(store, stack.config, stack.zones, FIRST)
    assert stack.row("u1")["session_dwell_ms"] == 2_800
    live(stack, 0, 3, [dwell("u1", "l2", 20, HOUR - 3000)])
    made = make_current(store, stack.config, stack.zones, SECOND)
    assert not made.anew and made.events == 1
    log = [bought, read, dwell("u1", "l1", 300, HOUR - 2000), dwell("u1", "l2", 20, HOUR - 3000)]
    assert_same_row(stack.row("u1"), expected(stack, log))


def counted(*events):
    """Counts by bucket of these events, every bucket visible."""
    return Counter(bucket_of(e.event_time, e.region, e.item_id, SETTINGS) for e in events)


def test_a_rebuild_replaces_the_counts_and_a_catching_up_adds_to_them(stack, store):
    far = NOW + 10 * MS_PER_DAY
    h1, h2 = click("u1", "h1", "i1", 40 * MS_PER_DAY), click("u1", "h2", "i1", 5 * HOUR)
    stack.fill([h1, h2, dwell("u1", "h3", 9)], fingerprint="counted")
    new = [dataclasses.replace(click("u1", "l1", "i1", 4 * HOUR), region="east"), click("u2", "l2", "i1", 3 * HOUR)]
    live(stack, 0, 0, [*new, new[0], h2])
    for _ in range(2):  # a second rebuild counts nothing twice
        made = rebuild(store, stack.config, stack.zones, FIRST)
        assert store.counts(far) == counted(h2, *new), "what is older than the overlap is the batch's"
        assert made.position.newest == {0: NOW - 3 * HOUR, 1: NOW - 3 * HOUR}
    batch, _, _ = updates.foldable([encode(click("u3", "s1", "i1"))] * 2, catalogue(), [1, 1])
    after, _ = store.advance(
        made.position, {1: 2}, ["u3"], lambda held: updates.apply(held, batch, stack.config.features, {})
    )
    assert after.newest == {0: NOW - 3 * HOUR, 1: NOW} and store.position() == after
    assert store.counts(far) == counted(h2, *new, click("u3", "s1", "i1"))

    missed = click("u4", "l3", "i5", HOUR)
    live(stack, 0, 4, [missed])
    live(stack, 1, 2, [new[1]])
    for topic in (SECOND, Topic("c" * 32, (0, 1))):
        assert not make_current(store, stack.config, stack.zones, topic).anew
        assert store.counts(far) == counted(h2, *new, click("u3", "s1", "i1"), missed)
    assert store.position().newest == {0: NOW - HOUR, 1: NOW}


def test_the_command_says_and_writes_which_counts_are_visible(stack, store, monkeypatch, capsys, tmp_path):
    early, late = [click("u1", "h1", "i3", 30 * HOUR)], [click("u1", f"h{n}", "i4", n * HOUR) for n in (4, 5)]
    stack.fill([*early, *late], fingerprint="to be shown")
    rebuild(store, stack.config, stack.zones, FIRST)
    for name, value in stack.environ.items():
        monkeypatch.setenv(name, value)
    file = str(tmp_path / "counts.parquet")
    assert main(["buckets", str(CONFIG), "--as-of", str(NOW + 3 * MS_PER_DAY), "--out", file]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["interactions"] == 3 and figures["first"] == (NOW - 30 * HOUR) // MS_PER_DAY
    names = ("bucket", "region", "item_id", "count")
    rows = [dict(zip(names, (*bucket, count))) for bucket, count in sorted(counted(*early, *late).items())]
    assert pq.read_table(file).to_pylist() == rows
    assert main(["buckets", str(CONFIG), "--as-of", str(NOW - 30 * HOUR), "--out", file]) == 0
    assert '"buckets": 0' in capsys.readouterr().out and pq.read_table(file).num_rows == 0
    assert main(["buckets", str(CONFIG), "--out", str(tmp_path / "no folder" / "counts.parquet")]) == 1
    assert "name a file of a folder that is there" in " ".join(capsys.readouterr().err.split())


def test_counts_of_a_rebuild_that_lost_its_race_are_not_written(stack, store):
    position = rebuild(store, stack.config, stack.zones, FIRST).position
    before, rival = (
        store.counts(NOW + 10 * MS_PER_DAY),
        OnlineStore(stack.settings.redis_address, stack.config.features),
    )

    class Raced(dict):
        def items(self):  # read between the watch and the writing
            rival.finish(position, {})
            return super().items()

    with pytest.raises(FencedError):
        store.finish(Position("d" * 32), {}, Raced({bucket_of(NOW, "", "i1", SETTINGS): 99}))
    assert store.position() == position and store.counts(NOW + 10 * MS_PER_DAY) == before


def test_a_rebuild_counts_under_the_department_of_each_events_time(stack, store):
    before, after, new = click("u1", "l1", "i1", 3 * HOUR), click("u1", "l2", "i1", HOUR), click("u1", "l3", "late", 10)
    live(stack, 0, 0, [before, after, new])
    make_current(store, stack.config, stack.zones, FIRST)
    assert set(stack.row("u1")["count_categories"]) == {"department-1", "department-2", ""}
    # What comes too late for the stream is right after a rebuild, wherever it lies in the lake.
    live(stack, 1, 0, [moved("i1", "m1", "wine", 2 * HOUR), moved("late", "m2", "books", 10), moved("i2", "m3", "", 9)])
    make_current(store, stack.config, stack.zones, FIRST)
    assert "wine" not in stack.row("u1")["count_categories"], "catching up folds nothing a second time"
    rebuild(store, stack.config, stack.zones, FIRST)
    h1, h2 = click("u1", "h1", "i1", 5 * HOUR), click("u1", "h2", "i2", 4 * HOUR)
    names = [(h1, "department-1"), (h2, "department-2"), (before, "department-1"), (after, "wine"), (new, "books")]
    log = [Interaction(each.event_time, each.event_id, each.item_id, name) for each, name in names]
    assert_same_row(stack.row("u1"), row(fold(log, stack.config.features), stack.config.features))


def test_what_is_caught_up_is_counted_under_the_department_of_its_time(stack, store):
    make_current(store, stack.config, stack.zones, FIRST)
    live(stack, 0, 0, [click("u9", "c1", "i1", 20), click("u9", "c2", "i1", 10)])
    live(stack, 1, 0, [moved("i1", "m1", "wine", 15)], SECOND)  # of the topic as it is now
    assert not make_current(store, stack.config, stack.zones, SECOND).anew
    log = [Interaction(NOW - 20, "c1", "i1", "department-1"), Interaction(NOW - 10, "c2", "i1", "wine")]
    assert_same_row(stack.row("u9"), row(fold(log, stack.config.features), stack.config.features))


def test_what_was_said_of_items_comes_back_from_the_lake_however_it_was_lost(stack, store):
    make_current(store, stack.config, stack.zones, FIRST)
    live(stack, 0, 0, [moved("i1", "m1", "wine", 15), said("i2", "m2", 20, available="false")])
    live(stack, 1, 0, [said("i2", "m3", 10, price="2.5"), said("i1", "m0", 30, department="old")])
    make_current(store, stack.config, stack.zones, SECOND)  # the broker forgot
    wanted = {"i1": {"department": "wine"}, "i2": {"available": "false", "price": "2.5"}}
    assert stack.items() == wanted
    with stack.client() as client:
        client.flushall()
        client.hset(item_state.KEY, "i3", item_state.encode({"price": item_state.Said(1, "stale", "9")}))
    rebuild(store, stack.config, stack.zones, SECOND)
    assert stack.items() == wanted


def test_states_of_another_version_are_made_anew(stack, store, monkeypatch):
    before = make_current(store, stack.config, stack.zones, FIRST).position
    monkeypatch.setattr(lake, "STATE_VERSION", 77)
    assert not is_current(before, FIRST, lake.origin(stack.config, stack.zones))
    assert make_current(store, stack.config, stack.zones, FIRST).anew


def test_another_history_replaces_all_rows(stack, store):
    make_current(store, stack.config, stack.zones, FIRST)
    stack.fill([click("u1", "x1", "i9", 2 * HOUR)], fingerprint="second")
    assert not is_current(store.position(), FIRST, lake.origin(stack.config, stack.zones))
    assert make_current(store, stack.config, stack.zones, FIRST).anew
    assert_same_row(stack.row("u1"), expected(stack, [click("u1", "x1", "i9", 2 * HOUR)]))
    assert stack.row("u2")["interaction_count"] == 0 and store.states(["u2"]) == {}


def test_a_rebuild_that_was_killed_is_done_again(stack, store):
    done = rebuild(store, stack.config, stack.zones, FIRST)
    store.invalidate()  # what a rebuild begins with
    assert not is_current(store.position(), FIRST, done.position.origin)
    again = make_current(store, stack.config, stack.zones, FIRST)
    assert again.anew and again.position == done.position


def test_a_batch_of_someone_with_an_outdated_position_changes_nothing(stack, store):
    position = rebuild(store, stack.config, stack.zones, FIRST).position
    batch, _, _ = updates.foldable([encode(click("u1", "n1"))], catalogue())

    def change(held):
        return updates.apply(held, batch, stack.config.features, {})

    after, _ = store.advance(position, {0: 1}, ["u1"], change)
    row_then = stack.row("u1")
    with pytest.raises(FencedError):
        store.advance(position, {0: 1}, ["u1"], change)
    assert stack.row("u1") == row_then and store.position() == after


def test_a_batch_that_races_another_is_refused_at_the_last_moment(stack, store):
    position = rebuild(store, stack.config, stack.zones, FIRST).position
    rival = OnlineStore(stack.settings.redis_address, stack.config.features)
    batch, _, _ = updates.foldable([encode(click("u1", "n1"))], catalogue())

    def change(held):
        rival.finish(Position(position.incarnation, position.origin, {0: 77}), {})
        return updates.apply(held, batch, stack.config.features, {})

    before = stack.row("u1")
    with pytest.raises(FencedError):
        store.advance(position, {0: 1}, ["u1"], change)
    assert stack.row("u1") == before


def test_the_lease_is_one_processors_at_a_time(stack, store):
    rival = OnlineStore(stack.settings.redis_address, stack.config.features)
    assert store.lease() and store.lease() and not rival.lease()
    rival.release()  # not its own: nothing happens
    assert not rival.lease()
    store.release()
    assert rival.lease()


def test_without_a_processed_zone_the_error_says_which_stage_to_run(tmp_path, stack, store):
    empty = Stack.at(tmp_path)
    with pytest.raises(ArtifactError, match="run it first"):
        rebuild(store, empty.config, empty.zones, FIRST)
