"""The stage as a whole on the synthetic shop: nothing lost, nothing from the future, the same however it is cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contracts import artifacts
from contracts.errors import ArtifactError
from contracts.evaluation import Kind
from contracts.events import Reason
from contracts.features import FIRST_VALUE, MS_PER_DAY, NULL, OUT_OF_VOCABULARY, user_profile
from contracts.request_context import FIXED
from etl import encoding, synthetic
from tests.etl.conftest import CUT_MS, MIN_ITEM_COUNT, ROOT, TIMEZONE, Runs
from tests.etl.views import assert_views, home_region, seen_items

WINDOWS = ("A", "B", "C")
WHOLE = ("requests", "truth", "buckets", "user_profile", "items", "users")


def assert_equal(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal values, in order; lists come back as arrays, which ``DataFrame.equals`` cannot compare."""
    assert list(one.columns) == list(other.columns)
    assert len(one) == len(other)
    for name in one:
        left, right = (
            [value.tolist() if isinstance(value, np.ndarray) else value for value in frame[name]]
            for frame in (one, other)
        )
        if name.startswith("category_counts") or one[name].dtype.kind == "f":
            np.testing.assert_allclose(np.hstack([*left, 0.0]), np.hstack([*right, 0.0]), rtol=1e-9, atol=1e-12)
        else:
            assert left == right, name


def test_every_row_of_the_log_is_either_processed_or_quarantined(runs: Runs) -> None:
    manifest = artifacts.read_manifest(runs.zones("smoke").processed)
    kept, refused = runs.frame("smoke", "processed/events"), runs.frame("smoke", "quarantine/refused")
    assert len(kept) == manifest["events"] and len(refused) == manifest["quarantined"]
    assert len(kept) + len(refused) == synthetic.events().num_rows
    assert kept["event_id"].is_unique


def test_every_planted_bad_row_is_quarantined_for_its_reason(runs: Runs) -> None:
    planted = pd.Series([reason.value for _, _, reason in synthetic.BAD_ROWS]).value_counts()
    refused = runs.frame("smoke", "quarantine/refused")
    assert refused["reason"].value_counts().to_dict() == planted.to_dict()
    assert runs.figures["smoke"]["quarantined_by_reason"] == planted.to_dict()
    assert refused["rule"].str.len().gt(0).all() and set(refused["source"]) == {"history:synthetic:events"}
    others = refused[refused["reason"] != Reason.DUPLICATE.value]
    assert others["event_id"].str.startswith("x").all()


def test_the_shifted_log_ends_within_the_last_day_and_keeps_its_hours(runs: Runs) -> None:
    manifest = artifacts.read_manifest(runs.zones("smoke").processed)
    assert manifest["shift_ms"] % synthetic.DAY_MS == 0
    now = pd.Timestamp.now("UTC").value // 1_000_000
    assert now - synthetic.DAY_MS - 3_600_000 < manifest["log_end"] <= now
    assert manifest["cut"] == CUT_MS + manifest["shift_ms"]
    assert artifacts.read_manifest(runs.zones("base").processed)["shift_ms"] == 0


def test_codes_fall_by_frequency_before_the_cut_and_ties_by_value(runs: Runs, log: pd.DataFrame) -> None:
    before = log[log["event_time"] < CUT_MS].merge(runs.frame("base", "processed/users.parquet"), how="left")
    for name, values in runs.encodings("base").items():
        if name == "price":
            prices = before["price"].dropna()
            np.testing.assert_allclose([values["mean"], values["std"]], [prices.mean(), prices.std()], rtol=1e-3)
            continue
        if name in FIXED:
            assert values == [*FIXED[name]]
            continue
        counts = before[name].replace("", None).value_counts()
        least = MIN_ITEM_COUNT if name in ("item_id", "department", "category", "brand", "region") else 1
        kept = counts[counts >= least].rename_axis("value").reset_index(name="n")
        assert values == kept.sort_values(["n", "value"], ascending=[False, True])["value"].tolist(), name
    assert 100 < len(runs.encodings("base")["item_id"]) < synthetic.ITEMS


def test_the_saved_workflow_and_the_encodings_say_the_same(runs: Runs) -> None:
    raw, found = pd.read_parquet(runs.folder / "raw.parquet"), pd.read_parquet(runs.folder / "codes.parquet")
    for name, table in runs.encodings("base").items():
        if isinstance(table, dict):
            expected = ((raw[name] - table["mean"]) / table["std"]).fillna(0.0)
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
        else:
            expected = encoding.codes(raw[name], table)
            assert found[name].tolist() == expected.tolist(), name
            assert {NULL, OUT_OF_VOCABULARY} < set(expected), "the values should try every kind of code"


def test_items_lie_in_code_order_with_the_codes_of_the_encodings(runs: Runs) -> None:
    items, encodings = runs.frame("base", "features/items.parquet"), runs.encodings("base")
    assert items["item_id"].tolist() == encodings["item_id"]
    assert items["item_code"].tolist() == [*range(FIRST_VALUE, FIRST_VALUE + len(items))]
    for name in runs.config("base").features.item_categorical:
        assert items[f"{name}_code"].tolist() == encoding.codes(items[name], encodings[name]).tolist()
        assert (items[f"{name}_code"] != OUT_OF_VOCABULARY).all()
    users = runs.frame("base", "features/users.parquet")
    assert users["user_id_code"].tolist() == encoding.codes(users["user_id"], encodings["user_id"]).tolist()


@pytest.mark.parametrize("window", [*WINDOWS, "new"])
def test_a_row_equals_the_fold_of_what_came_before_it(runs: Runs, log: pd.DataFrame, window: str) -> None:
    config, encodings = runs.config("base"), runs.encodings("base")
    by_user = dict(list(log.groupby("user_id")))
    for row in runs.rows("base", window).sample(40, random_state=0).itertuples(index=False):
        events = by_user[row.user_id]
        past = events[events["event_time"] < row.as_of]
        assert_views(row, past, config.features, seen=window != "A")
        now = events[events["event_time"] == row.as_of]
        new = now[~now["item_id"].isin(past["item_id"])].drop_duplicates("item_id")
        targets = encoding.codes(new["item_id"], encodings["item_id"])
        assert row.target_item_codes.tolist() == [code for code in targets if code >= FIRST_VALUE] != []
        assert row.region == (now["region"].iloc[0] or row.home_region)
        local = pd.Timestamp(row.as_of, unit="ms", tz="UTC").tz_convert(TIMEZONE)
        assert (row.hour, row.weekday) == (str(local.hour), local.day_name().lower())
        for kind in ("recent", "seen"):
            ids = getattr(row, f"{kind}_item_ids")
            assert getattr(row, f"{kind}_item_codes").tolist() == encoding.codes(ids, encodings["item_id"]).tolist()


def test_requests_and_profiles_are_the_views_at_the_cut_and_at_the_end(runs: Runs, log: pd.DataFrame) -> None:
    settings = runs.config("base").features
    requests, profiles = (
        runs.frame("base", "features/requests.parquet"),
        runs.frame("base", "features/user_profile.parquet"),
    )
    before = log[log["event_time"] < CUT_MS]
    requests = requests[requests["kind"] == Kind.TEST]
    assert requests["request_id"].tolist() == requests["user_id"].tolist()
    assert requests["user_id"].tolist() == sorted(before["user_id"].unique())
    assert set(requests["as_of"]) == {CUT_MS} and set(requests["k"]) == {100}
    for row in requests.sample(30, random_state=0).itertuples(index=False):
        assert_views(row, before[before["user_id"] == row.user_id], settings, seen=True)
    names = {feature.name for feature in user_profile(settings).features}
    assert set(profiles.columns) == {"user_id", "event_timestamp", "created", *names}
    known = set(runs.frame("base", "processed/users.parquet")["user_id"]) | set(log["user_id"])
    assert sorted(profiles["user_id"]) == sorted(known)
    for row in profiles.sample(30, random_state=0).itertuples(index=False):
        events = log[log["user_id"] == row.user_id]
        assert list(row.seen_item_ids) == seen_items(events) and row.home_region == home_region(events)


def test_truth_is_what_users_with_history_met_first_after_the_cut(runs: Runs, log: pd.DataFrame) -> None:
    catalogue = runs.encodings("base")["item_id"]
    known = log[log["item_id"].isin(catalogue)]
    before, after = known[known["event_time"] < CUT_MS], known[known["event_time"] >= CUT_MS]
    met = set(zip(before["user_id"], before["item_id"]))
    experienced = set(before["user_id"])
    pairs = {pair for pair in zip(after["user_id"], after["item_id"]) if pair[0] in experienced and pair not in met}
    truth = runs.frame("base", "features/truth.parquet")
    truth = truth[~truth["request_id"].str.startswith(Kind.COLD)]
    assert {(user, item) for user, items in zip(truth["user_id"], truth["item_ids"]) for item in items} == pairs
    assert truth["item_ids"].map(len).sum() == len(pairs) and truth["request_id"].is_unique
    asked = runs.frame("base", "features/requests.parquet").set_index("request_id")
    assert asked.index.is_unique and asked["user_id"][truth["request_id"]].tolist() == truth["user_id"].tolist()
    for codes, items in zip(truth["item_codes"], truth["item_ids"]):
        assert codes.tolist() == encoding.codes(items, catalogue).tolist()
    newcomers = {f"u{i:03d}" for i in range(synthetic.USERS - synthetic.NEWCOMERS, synthetic.USERS)}
    assert newcomers & set(log["user_id"]) and not newcomers & set(truth["user_id"])


def test_buckets_count_the_interactions_of_the_catalogue_by_day_and_region(runs: Runs, log: pd.DataFrame) -> None:
    catalogue = runs.encodings("base")["item_id"]
    known = log[log["item_id"].isin(catalogue)].assign(bucket=lambda rows: rows["event_time"] // synthetic.DAY_MS)
    known = known.assign(item_code=encoding.codes(known["item_id"], catalogue))
    expected = known.groupby(["bucket", "region", "item_code"]).size().reset_index(name="count")
    found = runs.frame("base", "features/buckets.parquet")
    assert found.to_numpy().tolist() == expected.to_numpy().tolist()
    assert found.dtypes[["bucket", "item_code", "count"]].tolist() == ["int32"] * 3


def test_windows_hold_their_own_time_and_the_test_window_gives_no_row(runs: Runs) -> None:
    manifest = artifacts.read_manifest(runs.zones("base").processed)
    borders = [0, manifest["retrieval_end"], manifest["ranker_end"], manifest["cut"]]
    for window, low, high in zip(WINDOWS, borders, borders[1:]):
        as_of = runs.rows("base", window)["as_of"]
        assert low <= as_of.min() and as_of.max() < high


def test_the_newest_days_are_there_whole_for_an_update(runs: Runs, log: pd.DataFrame) -> None:
    cut, days = artifacts.read_manifest(runs.zones("base").processed)["cut"], runs.config("base").train.update_days
    made = runs.rows("base", "new")
    assert made["as_of"].min() >= cut - days * MS_PER_DAY and made["as_of"].max() < cut
    items = runs.encodings("base")["item_id"]
    first = log[log["item_id"].isin(items)].groupby(["user_id", "item_id"])["event_time"].min()
    there = first[(first >= cut - days * MS_PER_DAY) & (first < cut)].reset_index()
    wanted = there[["user_id", "event_time"]].drop_duplicates().sort_values(["user_id", "event_time"])
    found = made[["user_id", "as_of"]].sort_values(["user_id", "as_of"])
    assert found.to_numpy().tolist() == wanted.to_numpy().tolist() != []


@pytest.mark.parametrize("path", ["rows A", "rows B", "rows C", "rows new", "requests"])
def test_another_future_changes_no_row_and_no_request(runs: Runs, path: str) -> None:
    if path == "requests":
        one, other = (runs.frame(name, "features/requests.parquet") for name in ("base", "later"))
    else:
        one, other = (runs.rows(name, path.split()[1]) for name in ("base", "later"))
    assert_equal(one, other)


def test_another_future_changes_the_truth_but_no_code(runs: Runs) -> None:
    assert runs.encodings("base") == runs.encodings("later")
    one, other = (runs.frame(name, "features/truth.parquet") for name in ("base", "later"))
    assert one["item_ids"].map(list).tolist() != other["item_ids"].map(list).tolist()


@pytest.mark.parametrize("name", ["processed/events", "quarantine/refused"])
def test_the_number_of_pieces_changes_no_verdict(runs: Runs, name: str) -> None:
    one, other = (runs.frame(variant, name).drop(columns="source", errors="ignore") for variant in ("base", "pieces"))
    order = ["event_id", "event_time", "reason"] if name == "quarantine/refused" else ["event_id"]
    assert_equal(one.sort_values(order, ignore_index=True), other.sort_values(order, ignore_index=True))


def test_the_number_of_pieces_changes_no_feature(runs: Runs) -> None:
    one, other = runs.encodings("base"), runs.encodings("pieces")
    # Sums of floats depend on how they are cut, in the last digit.
    assert one.pop("price") == pytest.approx(other.pop("price"))
    assert one == other
    for window in WINDOWS:
        assert_equal(runs.rows("base", window), runs.rows("pieces", window))
    for name in WHOLE:
        assert_equal(*(runs.frame(variant, f"features/{name}.parquet") for variant in ("base", "pieces")))
    assert not artifacts.exists(f"{runs.zones('base').features}/by_user")


def test_what_is_current_is_skipped(runs: Runs) -> None:
    assert not runs.figures["base"]["skipped"]
    assert runs.figures["again"]["skipped"] and runs.figures["again"]["seconds"] < 1
    same = [
        {k: v for k, v in runs.figures[name].items() if "second" not in k and k != "skipped"}
        for name in ("base", "again")
    ]
    assert same[0] == same[1]


def test_a_run_that_fails_midway_is_not_read_and_the_next_one_mends_it(runs: Runs, tmp_path: Path) -> None:
    assert runs.figures["broken"] == {"error": "broken on purpose"}
    assert not runs.figures["repaired"]["skipped"]
    assert_equal(runs.rows("base", "B"), runs.rows("broken", "B"))
    zone = artifacts.zones(str(tmp_path), runs.config("base")).features
    artifacts.write_manifest(zone, "x")
    artifacts.drop_manifest(zone)
    with pytest.raises(ArtifactError, match="has not finished"):
        artifacts.read_manifest(zone)


def test_the_planted_taste_can_be_found(runs: Runs) -> None:
    """The share of a user's interactions in the two departments of the group, and the clue in the region."""
    events = runs.frame("smoke", "processed/events")
    user, item = (events[name].str[1:].astype(int) for name in ("user_id", "item_id"))
    own = synthetic.department(item) // 2 == user % synthetic.GROUPS
    expected = synthetic.TASTE_SHARE + (1 - synthetic.TASTE_SHARE) / synthetic.GROUPS
    assert abs(own.mean() - expected) < 0.01
    region = np.array(synthetic.REGIONS)[user % synthetic.GROUPS]
    assert (events["region"] == region).mean() > synthetic.CLUE_SHARE - 0.05


def test_another_process_generates_the_same_log() -> None:
    code = "import sys; from etl import synthetic; sys.stdout.write(str(synthetic.events().to_pydict()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == str(synthetic.events().to_pydict())
