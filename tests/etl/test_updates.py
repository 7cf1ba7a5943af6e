"""Updates of items and users change what is known from their time on, and nothing before it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts import artifacts, folds
from contracts.features import count_column, user_behaviour
from etl import changes, cluster, encoding, features, ledger, timeline
from etl.cluster import Session
from tests.etl.lake import small_batches
from tests.etl.test_stage import assert_equal
from tests.etl.update_shop import CUT_MS, TABLES, Shop, as_of, later_updates, purchases, shop, updates

WINDOWS = ("A", "B", "C")


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with cluster.connect("", rows=0) as session:
        yield session


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    bought = purchases()
    return pd.concat([bought, updates(bought)], ignore_index=True)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory, session: Session, log: pd.DataFrame) -> dict[str, Shop]:
    """``whole``: one file; ``parts``: the updates come a run later; ``later``: more updates, from the cut on."""
    folder = tmp_path_factory.mktemp("updates")
    shuffled = log.sample(frac=1, random_state=0)
    with pytest.MonkeyPatch.context() as patch:
        small_batches(patch)
        patch.setattr(features, "_workflow_beside", lambda config, zone: contextlib.nullcontext())
        parts = shop(folder / "parts", session).run_all(a=shuffled[shuffled["event_type"] == "purchase"])
        return {
            "whole": shop(folder / "whole", session).run_all(a=shuffled),
            "parts": parts.run_all(b=shuffled[shuffled["event_type"] != "purchase"]),
            "later": shop(folder / "later", session).run_all(a=shuffled, b=later_updates()),
        }


@pytest.fixture(scope="module")
def known(log: pd.DataFrame) -> pd.DataFrame:
    """The purchases with the category that each should count under, in each user's own order."""
    bought = log[log["event_type"] == "purchase"].sort_values(["user_id", "event_time", "event_id"])
    asked = zip(bought["item_id"], bought["event_time"])
    return bought.assign(kind=[as_of(log, "items", item, time + 1)["kind"] for item, time in asked])


def assert_known(row: object, past: pd.DataFrame, segment: str, shop: Shop) -> None:
    settings = shop.config.features
    columns = past[["event_time", "event_id", "item_id", "kind"]].to_numpy()
    expected = folds.row(folds.fold([folds.Interaction(*each) for each in columns], settings), settings)
    for feature in user_behaviour(settings).features:
        found, value = getattr(row, feature.name), expected[feature.name]
        if feature.name in {count_column(hours) for hours in settings.count_half_lives_hours}:
            np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-12)
        else:
            assert (list(found) if isinstance(value, list) else found) == value, feature.name
    assert row.segment == segment


@pytest.mark.parametrize("window", WINDOWS)
def test_every_row_knows_its_items_and_its_user_as_they_were(
    shops: dict[str, Shop], log: pd.DataFrame, known: pd.DataFrame, window: str
) -> None:
    rows = shops["whole"].frame(f"features/rows/window={window}")
    segments = set()
    for row in rows.itertuples(index=False):
        past = known[(known["user_id"] == row.user_id) & (known["event_time"] < row.as_of)]
        segment = as_of(log, "users", row.user_id, row.as_of)["segment"]
        assert_known(row, past, segment, shops["whole"])
        segments.add((row.user_id, segment))
    assert len(rows) > 20 and (window != "A" or len(segments) > rows["user_id"].nunique())


def test_requests_know_what_was_before_the_cut_and_profiles_what_is_now(
    shops: dict[str, Shop], log: pd.DataFrame, known: pd.DataFrame
) -> None:
    requests = shops["later"].frame("features/requests.parquet")
    for row in requests[requests["kind"] == "test"].itertuples(index=False):
        past = known[(known["user_id"] == row.user_id) & (known["event_time"] < CUT_MS)]
        assert_known(row, past, as_of(log, "users", row.user_id, CUT_MS)["segment"], shops["later"])
    everything = pd.concat([log, later_updates()])
    profiles = shops["later"].frame("features/user_profile.parquet").set_index("user_id")["segment"]
    now = {user: as_of(everything, "users", user, 2**62)["segment"] for user in profiles.index}
    assert profiles.to_dict() == now and now["u-late"] == "gold" and now["u00"] == "new" and now["u02"] == "new"


def test_another_future_of_the_catalogue_changes_no_row_no_request_and_no_code(shops: dict[str, Shop]) -> None:
    one, other = shops["whole"], shops["later"]
    for window in WINDOWS:
        assert_equal(*(each.frame(f"features/rows/window={window}") for each in (one, other)))
    assert_equal(*(each.frame("features/requests.parquet") for each in (one, other)))
    codes = [artifacts.read_json(f"{each.zone.features}/encodings.json") for each in (one, other)]
    assert codes[0] == codes[1]
    items = [each.frame("features/items.parquet").set_index("item_id")["kind"] for each in (one, other)]
    assert items[0]["i8"] == "k2" and items[1]["i8"] == "k0"


def test_updates_that_come_a_run_later_end_where_one_run_would(shops: dict[str, Shop]) -> None:
    one, other = shops["whole"], shops["parts"]
    for table in ("items", "users", "item_changes", "user_changes"):
        assert_equal(*(each.frame(f"processed/{table}.parquet") for each in (one, other)))
    for window in WINDOWS:
        columns = [name for name in one.frame(f"features/rows/window={window}") if not name.endswith("codes")]
        assert_equal(*(each.frame(f"features/rows/window={window}")[columns] for each in (one, other)))
    for name in ("requests", "user_profile", "truth"):
        assert_equal(*(each.frame(f"features/{name}.parquet") for each in (one, other)))


def test_tables_hold_the_newest_values_and_changes_the_former(shops: dict[str, Shop], log: pd.DataFrame) -> None:
    for table, key, also in (("items", "item_id", "late"), ("users", "user_id", "u-late")):
        found = shops["whole"].frame(f"processed/{table}.parquet").set_index(key)
        assert list(found.index) == sorted({*TABLES[table], also, *(["u11"] if table == "users" else [])})
        expected = [as_of(log, table, which, 2**62) for which in found.index]
        assert found.equals(pd.DataFrame(expected, found.index)[found.columns])
    former = shops["whole"].frame("processed/item_changes.parquet")
    # i3 was updated, but nothing that is known of it changed (its kind was k0 and is k2: that did).
    assert former.groupby("item_id").size().to_dict() == {"i1": 3, "i2": 2, "i3": 2, "i4": 2, "i5": 2, "late": 2}
    i1 = former[former["item_id"] == "i1"]
    assert i1[["kind", "price"]].to_numpy().tolist() == [["k1", 1.0], ["k9", 1.0], ["k8", 5.5]]
    assert i1["valid_from"].iloc[0] == changes.BEGINNING
    # That u03 is in segment s0, as the table says, is no change.
    assert set(shops["whole"].frame("processed/user_changes.parquet")["user_id"]) == {"u01", "u02", "u11", "u-late"}


def test_codes_count_attributes_as_they_were_before_the_cut(
    shops: dict[str, Shop], log: pd.DataFrame, known: pd.DataFrame
) -> None:
    before = known[known["event_time"] < CUT_MS]
    encodings = artifacts.read_json(f"{shops['later'].zone.features}/encodings.json")
    attributes = pd.DataFrame([as_of(log, "items", item, CUT_MS) for item in before["item_id"]])
    kind, price = attributes["kind"], attributes["price"]
    counts = kind[kind != ""].value_counts()
    assert sorted(encodings["kind"]) == sorted(counts.index)
    assert [counts[value] for value in encodings["kind"]] == sorted(counts, reverse=True)
    np.testing.assert_allclose([encodings["price"]["mean"], encodings["price"]["std"]], [price.mean(), price.std()])
    items = shops["later"].frame("features/items.parquet")
    assert items["kind_code"].tolist() == encoding.codes(items["kind"], encodings["kind"]).tolist()


def test_what_an_update_says_in_vain_is_counted_and_told(shops: dict[str, Shop]) -> None:
    facts = artifacts.read_manifest(shops["whole"].zone.processed)["updates"]
    assert facts["items"] == {"changes": 13, "unknown": {"colour": 2, "item_id": 1}, "unreadable": {"price": 1}}
    assert facts["users"]["unknown"] == {} and facts["users"]["changes"] == 9
    told = "\n".join(shops["whole"].said)
    assert "item_update names what is no column of source.items.columns" in told and "colour (2 times)" in told
    assert "item_update gives 1 values of price that are no number" in told


def test_a_log_without_updates_has_no_files_to_look_through(shops: dict[str, Shop], tmp_path, session: Session) -> None:
    book = ledger.load(shops["whole"].zone)
    assert book and 0 < len(book.updates) < len(book.events) and set(book.updates) <= set(book.events)
    quiet = shop(tmp_path / "quiet", session)
    (quiet.folder / "source").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_workflow_beside", lambda config, zone: contextlib.nullcontext())
        patch.setattr(changes, "read", None)  # it is not even asked
        quiet.run_all(a=purchases())
    assert ledger.load(quiet.zone).updates == []
    assert len(quiet.frame("processed/item_changes.parquet")) == 0


def test_as_of_any_instant_is_what_a_walk_through_the_changes_finds() -> None:
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, 30, 300))
    former = pd.DataFrame({"item_id": [f"i{n:02d}" for n in ids], "valid_from": rng.integers(1, 50, 300)})
    former = former.drop_duplicates().sort_values(["item_id", "valid_from"], ignore_index=True)
    former.loc[~former["item_id"].duplicated(), "valid_from"] = changes.BEGINNING
    former["kind"] = [f"k{n}" for n in range(len(former))]
    newest = pd.DataFrame({"item_id": [f"i{n:02d}" for n in range(40)], "kind": "newest"})
    known = timeline.Timeline(*(pa.Table.from_pandas(each) for each in (newest, former)), "item_id")
    asked, instants = [f"i{n:02d}" for n in rng.integers(0, 45, 500)], rng.integers(1, 60, 500)
    found = known.before(pa.array(asked), instants)["kind"].to_pylist()
    for item, instant, value in zip(asked, instants, found):
        past = former[(former["item_id"] == item) & (former["valid_from"] < instant)]
        other = "newest" if item < "i40" else None
        assert value == (past["kind"].iloc[-1] if len(past) else other)
    few = known.of(pa.array(["i01", "i35"]))
    assert few.before(pa.array(["i01", "i35", "i02"]), 60)["kind"].to_pylist()[1:] == ["newest", None]


def test_a_table_without_attributes_only_gains_ids() -> None:
    table = pa.table({"user_id": pa.array([], pa.string())})
    log = updates(purchases())
    rows = pa.table(
        {
            **{name: pa.array(log[name], pa.string()) for name in ("event_id", "event_type", "user_id")},
            "event_time": pa.array(log["event_time"]),
            "attributes": pa.array(log["attributes"], pa.map_(pa.string(), pa.string())),
        }
    )
    found = changes.derive(table, rows, "user_id")
    assert found.newest["user_id"].to_pylist() == ["u-late", "u01", "u02", "u03", "u11"]
    assert found.changes.num_rows == 0 and found.unknown == {"segment": 6}


def test_updates_of_one_instant_follow_their_ids_whatever_order_they_came_in() -> None:
    said = [("b", "k8"), ("c", ""), ("a", "k7"), ("d", "k9")]
    for order in itertools.permutations(said):
        rows = pa.table(
            {
                "event_id": [event_id for event_id, _ in order],
                "event_type": ["item_update"] * 4,
                "event_time": [7] * 4,
                "item_id": ["i1"] * 4,
                "attributes": pa.array([[("kind", kind)] for _, kind in order], pa.map_(pa.string(), pa.string())),
            }
        )
        found = changes.derive(pa.table({"item_id": ["i1"], "kind": ["k1"]}), rows, "item_id")
        assert found.changes.to_pylist() == [
            {"item_id": "i1", "valid_from": changes.BEGINNING, "kind": "k1"},
            {"item_id": "i1", "valid_from": 7, "kind": "k9"},
        ]
        assert found.newest.to_pylist() == [{"item_id": "i1", "kind": "k9"}]
