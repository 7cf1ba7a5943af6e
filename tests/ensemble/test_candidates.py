"""The ranker's training rows: what retrieval returns, labelled by what was bought, features as served."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from contracts.artifacts import Zones, read_manifest
from contracts.buckets import bucket_ms
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, SOURCE_SIGNALS, SOURCES, ranker_categorical, ranker_continuous
from contracts.requests import Request
from ensemble import candidates
from ensemble.candidates import Window, _sampled
from ensemble.steps.chain import Chain
from ensemble.steps.ranker import RankerFeatures
from tests.ensemble.made_up import World


@pytest.fixture(scope="module")
def made(place: Zones, world: World) -> dict[str, pd.DataFrame]:
    facts = candidates.run(world.config, place)
    assert facts["windows"]["C"]["found"] > 0
    return {name: pq.read_table(f"{place.candidates}/window={name}").to_pandas() for name in ("B", "C", "cold")}


def rows_of(place: Zones, window: str) -> pd.DataFrame:
    return pq.read_table(f"{place.features}/rows/window={window}").to_pandas().set_index("row_id")


def test_columns_are_those_of_the_contract(made: dict[str, pd.DataFrame], world: World) -> None:
    own = ["row_id", "user_id", "as_of", "item_code", "label", "evidence", *(f"{source}_rank" for source in SOURCES)]
    features = world.config.features
    names = [f"c_{name}" for name in ranker_categorical(features)] + [f"x_{n}" for n in ranker_continuous(features)]
    for table in made.values():
        assert set(table.columns) == {
            *own,
            "trending_score",
            "in_session",
            *names,
            *(c for c in table.columns if c == "window"),
        }
        assert table.label.dtype == np.int8
        assert not table.isna().any().any()


def test_labels_are_exactly_what_was_bought_and_retrieved(made: dict[str, pd.DataFrame], place: Zones) -> None:
    for window, table in made.items():
        targets = rows_of(place, window).target_item_codes
        wanted = [code in set(targets[row]) for row, code in zip(table.row_id, table.item_code)]
        assert (table.label == wanted).all()
        assert not table.duplicated(["row_id", "item_code"]).any()


def test_window_c_is_whole_and_rows_of_b_without_a_hit_are_left_out(
    made: dict[str, pd.DataFrame], place: Zones
) -> None:
    assert set(made["C"].row_id) == set(rows_of(place, "C").index)
    assert made["B"].groupby("row_id").label.max().min() == 1
    assert made["C"].groupby("row_id").label.max().min() == 0
    facts = read_manifest(place.candidates)["windows"]["C"]
    bought = rows_of(place, "C").target_item_codes.map(len).sum()
    assert facts["recall"] == pytest.approx(made["C"].label.sum() / bought, abs=1e-3)


def test_features_are_those_that_serving_computes(
    made: dict[str, pd.DataFrame], place: Zones, chain: Chain, world: World
) -> None:
    """Fit and refit retrieval of the made-up world differ, so the other features are compared, item by item."""
    table = made["C"]
    row_id = int(table.row_id.iloc[0])
    source = rows_of(place, "C").loc[row_id]
    user, as_of = world.user_ids.index(source.user_id), int(source.as_of)
    answered = chain.answer([Request(source.user_id)], [world.row(user, as_of)], [as_of], 0)
    x = RankerFeatures(chain.tables, chain.popularity)(answered.envelopes, answered.query, answered.candidates)[1][0]
    ids = answered.candidates.candidate_ids[0]
    mine = table[table.row_id == row_id].set_index("item_code")
    common = [i for i, code in enumerate(ids) if code in mine.index]
    assert len(common) > 20
    for j, name in enumerate(ranker_continuous(world.config.features)):
        if name not in SOURCE_SIGNALS or name == "similar_log":
            assert np.allclose(x[common, j], mine.loc[ids[common], f"x_{name}"], atol=1e-6), name


def test_ranks_are_places_by_each_source_alone(made: dict[str, pd.DataFrame]) -> None:
    for _, row in list(made["C"].groupby("row_id"))[:5]:
        for name, score in ((f"{source}_rank", f"x_{source}_score") for source in SOURCES):
            assert sorted(row[name]) == list(range(len(row)))
            assert row.sort_values(name)[score].is_monotonic_decreasing


def test_a_sample_keeps_all_that_was_bought_and_so_many_others_of_each_row() -> None:
    rng = np.random.default_rng(0)
    columns = {"row_id": np.repeat([5, 6, 9], 100), "label": (rng.random(300) < 0.05).astype(np.int8)}
    columns["label"][100:200] = 0
    kept = _sampled(columns, Window("B", 0, 20, False), rng)
    assert kept["label"].sum() == columns["label"].sum()
    others = [int((kept["label"][kept["row_id"] == row] == 0).sum()) for row in (5, 6, 9)]
    assert others == [20, 20, 20]
    assert set(_sampled(columns, Window("B", 0, 20, True), rng)["row_id"]) == {5, 9}


def test_a_second_run_has_nothing_to_do_and_a_half_written_zone_is_made_again(
    made: dict[str, pd.DataFrame], place: Zones, world: World
) -> None:
    assert candidates.run(world.config, place)["skipped"] is True
    (Path(place.candidates) / "manifest.json").unlink()
    assert "skipped" not in candidates.run(world.config, place)


def test_without_its_inputs_the_stage_says_which_is_missing(place: Zones, world: World, tmp_path: Path) -> None:
    shutil.copytree(place.features, tmp_path / "made_up" / "features")
    with pytest.raises(ArtifactError, match=r"models/retrieval/fit/manifest.json is not there"):
        candidates.run(world.config, Zones(str(tmp_path / "made_up")))


def test_who_is_asked_for_as_if_little_were_known_is_not_answered_what_he_had(
    made: dict[str, pd.DataFrame], place: Zones, world: World
) -> None:
    asked, table = rows_of(place, "cold"), made["cold"]
    assert set(table.row_id) == set(asked.index) and (table.evidence == 0).all()
    had = asked["exclude_item_ids"][table.row_id]
    assert not any(world.item_ids[code - FIRST_VALUE] in ids for code, ids in zip(table.item_code, had))


def test_what_was_too_rare_for_the_catalogue_of_its_day_is_no_candidate(
    place: Zones, world: World, made: dict[str, pd.DataFrame]
) -> None:
    least = 150
    strict = dataclasses.replace(
        world.config, features=dataclasses.replace(world.config.features, min_item_count=least)
    )
    candidates.run(strict, place)
    table = pq.read_table(f"{place.candidates}/window=C").to_pandas()
    buckets = pq.read_table(f"{place.features}/buckets.parquet").to_pandas()
    day = bucket_ms(world.config.features)
    for as_of, asked in list(table.groupby("as_of"))[:20]:
        counts = buckets[buckets.bucket < as_of // day].groupby("item_code")["count"].sum()
        assert counts.reindex(asked.item_code).fillna(0).min() >= least
        assert counts.min() < least
