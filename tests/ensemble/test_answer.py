"""The evaluation's requests, answered by the candidate release and, beside it, by the current one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from contracts.artifacts import Zones, write_json, write_manifest
from contracts.requests import Request
from ensemble import answer
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.ensemble.made_up import CUT, World


def test_answers_are_those_of_the_release_with_the_single_stages_beside(
    place: Zones, world: World, release: Release, chain: Chain
) -> None:
    facts = answer.run(world.config, place)
    assert (facts["release"], facts["requests"]) == (release.id, len(world.user_ids))
    table = pq.read_table(f"{place.answers}/answers.parquet").to_pandas().set_index("user_id")
    row = pq.read_table(f"{place.features}/requests.parquet").to_pandas().set_index("user_id").loc["user-7"]
    user = world.user_ids.index("user-7")
    wanted = chain.answer([Request("user-7", k=100)], [world.row(user, int(row.as_of))], [int(row.as_of)], 0)
    found = table.loc["user-7"]
    assert list(found.item_ids) == list(wanted.answers[0].item_ids)
    ids = wanted.candidates.candidate_ids[0]
    assert list(found.candidate_ids) == chain.tables.item_ids[ids[ids > 0]].tolist()
    scores = chain.retrieval.sources.two_tower(wanted.query)[0]
    seen = set(world.row(user, int(row.as_of))["seen_item_ids"])
    best = [world.item_ids[i] for i in np.argsort(-scores) if world.item_ids[i] not in seen]
    wide = world.config.serve.two_tower_candidates
    assert list(found.two_tower_ids[:wide]) == best[:wide]
    trending = chain.popularity.trending(int(row.as_of), wanted.envelopes[0].region)
    best = [world.item_ids[i] for i in np.argsort(-trending, kind="stable") if world.item_ids[i] not in seen]
    assert list(found.trending_ids) == best[:100]
    assert facts["current"] == {}
    for part in ("chain", "two_tower", "ranker"):
        assert 0 < facts["latency_ms"][part]["p50"] <= facts["latency_ms"][part]["p95"]
    assert facts["latency_ms"]["ranker"]["p50"] < facts["latency_ms"]["chain"]["p50"]
    assert answer.run(world.config, place)["skipped"] is True


def answers(place: Zones, name: str) -> pd.DataFrame:
    return pq.read_table(f"{place.answers}/{name}.parquet").to_pandas().set_index("request_id")


def promoted_copy(place: Zones, release: Release, name: str, **changed: object) -> None:
    """Another release of the same files, promoted."""
    folder = Path(f"{place.releases}/{name}")
    shutil.copytree(release.root, folder, dirs_exist_ok=True)
    document = json.loads((folder / "release.json").read_text())
    write_json(str(folder / "release.json"), {**document, "release": name, **changed})
    write_json(f"{place.releases}/current.json", {"release": name})


def test_the_current_release_answers_the_very_same_requests(
    place: Zones, world: World, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "_TIMED", 1)
    write_manifest(place.processed, "processed-1", cut=CUT)
    other = {**release.document["blend"], "signals": {"two_tower_score": 1.0}}
    promoted_copy(place, release, "earlier", blend=other, fitted_until=CUT)
    assert answer.run(world.config, place, force=True)["current"] == {"release": "earlier", "reason": ""}
    ours, theirs = answers(place, "answers"), answers(place, "answers_current")
    assert ours.index.tolist() == theirs.index.tolist()
    assert theirs["trending_ids"].map(list).tolist() == ours["trending_ids"].map(list).tolist()
    assert theirs["candidate_ids"].map(list).tolist() != ours["candidate_ids"].map(list).tolist()
    # Once the candidate is promoted there is nothing to compare anew.
    write_json(f"{place.releases}/current.json", {"release": release.id})
    assert answer.run(world.config, place)["skipped"] is True
    promoted_copy(place, release, "another", fitted_until=CUT)
    assert "skipped" not in answer.run(world.config, place)
    Path(f"{place.releases}/current.json").unlink()


def test_a_current_release_whose_ranker_takes_other_columns_is_not_compared_and_says_so(
    place: Zones, world: World, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "_TIMED", 1)
    write_manifest(place.processed, "processed-1", cut=CUT)
    half_lives = release.document["features"]["popularity_half_lives_hours"]
    features = {**release.document["features"], "popularity_half_lives_hours": [*half_lives, 4000.0]}
    promoted_copy(place, release, "earlier", fitted_until=CUT, features=features)
    said = answer.run(world.config, place, force=True)["current"]
    assert said["release"] == "earlier" and "columns, this code has" in said["reason"]
    Path(f"{place.releases}/current.json").unlink()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"fitted_until": CUT + 1}, "learned from what came after this cut"),
        ({"fitted_until": CUT, "serve": {"gone": 1}}, "no release document.*export the release again"),
    ],
)
def test_a_current_release_that_cannot_be_compared_fairly_is_not_and_says_why(
    place: Zones, world: World, release: Release, monkeypatch: pytest.MonkeyPatch, changed: dict, reason: str
) -> None:
    monkeypatch.setattr(answer, "_TIMED", 1)
    write_manifest(place.processed, "processed-1", cut=CUT)
    promoted_copy(place, release, "earlier", **changed)
    said = answer.run(world.config, place, force=True)["current"]
    assert said["release"] == "earlier"
    assert pd.Series([said["reason"]]).str.contains(reason).all()
    Path(f"{place.releases}/current.json").unlink()
