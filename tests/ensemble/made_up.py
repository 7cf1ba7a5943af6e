"""A small seeded data set with everything that export reads: random, but of the right shape, and with planted tastes.

Users belong to one of four groups and buy mostly from two departments of it. The two-tower scores an item by the
departments of recent items; the ranker scores by retrieval and by recent shares.
"""

from __future__ import annotations

from collections import Counter

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts import folds
from contracts.artifacts import Zones, write_json, write_manifest, zones
from contracts.config import Config, parse
from contracts.evaluation import WHOLE_HISTORY, Kind
from contracts.features import (
    FIRST_VALUE,
    MS_PER_DAY,
    feature_views,
)
from contracts.request_context import FIXED
from contracts.user_user import Histories
from tests.ensemble.beginners import beginners
from tests.ensemble.graphs import query_tower_graph, ranker_graph

DEPARTMENTS, ITEMS, USERS, DAYS, REGIONS = 8, 240, 80, 60, 4
FIRST_DAY = 20_000
BLEND = {"signals": {"two_tower_score": 0.3, "similar_log": 0.7}, "retrieval_weight": 0.3, "spread": 1.0}
BLEND |= {"evidence_half": 1.0, "ranker_evidence_half": 0.0}
CUT = (FIRST_DAY + DAYS - 5) * MS_PER_DAY
SHIFT = 3_000 * MS_PER_DAY  # of the log's times


def config() -> Config:
    columns = {"user_id": "u", "item_id": "i", "event_time": "t", "region": "r"}
    return parse(
        {
            "name": "made_up",
            "source": {
                "events": {"url": "none:", "columns": columns},
                "items": {"url": "none:", "columns": {"item_id": "i", "department": "d", "brand": "b", "price": "p"}},
                "users": {"url": "none:", "columns": {"user_id": "u", "age": "a"}},
            },
            "features": {
                "user_categorical": ["age"],
                "item_categorical": ["department", "brand"],
                "item_numeric": ["price"],
                "category": "department",
                "context": ["region", "hour"],
                "timezone": "Europe/Paris",
                "recent_items": 16,
                "max_seen_items": 64,
            },
            "windows": {"retrieval_end": "2024-01-01", "ranker_end": "2024-02-01", "cut": "2024-03-01"},
            "train": {"als_factors": 4, "user_user_users": USERS},
            "serve": {
                "two_tower_candidates": 40,
                "similar_candidates": 40,
                "als_candidates": 10,
                "user_user_candidates": 10,
                "user_user_neighbours": 7,
                "trending_candidates": 20,
                "session_candidates": 10,
                "trending_min_count": 100,
            },
        },
        "made_up",
    )


class World:
    """The log and what follows from it; ``department[i]`` belongs to item code i + 3."""

    def __init__(self, seed: int = 5):
        self.config = config()
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.item_ids = [f"item-{i}" for i in range(ITEMS)]
        self.user_ids = [f"user-{i}" for i in range(USERS)]
        self.department = rng.integers(DEPARTMENTS, size=ITEMS)
        self.brand = rng.integers(12, size=ITEMS)
        self.price = np.where(rng.random(ITEMS) < 0.1, np.nan, rng.gamma(2.0, 3.0, ITEMS))
        number = USERS * 40
        user = rng.integers(USERS, size=number)
        taste = user % 4 * 2 + rng.integers(2, size=number)
        department = np.where(rng.random(number) < 0.8, taste, rng.integers(DEPARTMENTS, size=number))
        weight = 1.0 / (1 + np.arange(ITEMS) % 30)
        members = [np.flatnonzero(self.department == d) for d in range(DEPARTMENTS)]
        item = np.array([rng.choice(members[d], p=weight[members[d]] / weight[members[d]].sum()) for d in department])
        time = FIRST_DAY * MS_PER_DAY + rng.integers(DAYS * MS_PER_DAY, size=number)
        order = np.argsort(time)
        self.user, self.item, self.time = user[order], item[order], time[order]
        self.factors = rng.normal(0, 0.3, (ITEMS, 4)).astype(np.float32)
        self.region = (self.user + (rng.random(number) < 0.2)) % REGIONS

    def log(self, user: int, as_of: int) -> list[folds.Interaction]:
        """A user's interactions strictly before an instant."""
        rows = np.flatnonzero((self.user == user) & (self.time < as_of))
        return [
            folds.Interaction(
                int(self.time[r]), f"e{r}", self.item_ids[self.item[r]], f"dep-{self.department[self.item[r]]}"
            )
            for r in rows
        ]

    def row(self, user: int, as_of: int) -> dict:
        """The raw row of a user as of an instant."""
        log = self.log(user, as_of)
        seen = list(dict.fromkeys(x.item_id for x in reversed(log)))[: self.config.features.max_seen_items]
        profile = {"age": f"age-{user % 5}", "home_region": f"region-{user % REGIONS}", "seen_item_ids": seen}
        return {**folds.row(folds.fold(log, self.config.features), self.config.features), **profile}

    def write(self, root: str) -> Zones:
        """All zones that ``ensemble`` reads."""
        place = zones(root, self.config)
        self._features(place)
        for name in ("fit", "refit"):
            self._retrieval(f"{place.retrieval}/{name}")
        _save(f"{place.ranker}/ranker.onnx", ranker_graph(self.config))
        blend = {"calibration": {"logit": [0.0, 1.0], "log_odds": [-1.0, -0.1]}, **BLEND}
        write_json(f"{place.ranker}/blend.json", blend)
        write_manifest(place.ranker, "ranker-1")
        return place

    def _features(self, place: Zones) -> None:
        encodings = {
            "user_id": self.user_ids[:-5],
            "item_id": self.item_ids,
            "age": [f"age-{i}" for i in range(4)],
            "department": [f"dep-{i}" for i in range(DEPARTMENTS)],
            "brand": [f"brand-{i}" for i in range(12)],
            "region": [f"region-{i}" for i in range(REGIONS)],
            "hour": list(FIXED["hour"]),
            "price": {"mean": 6.0, "std": 4.0},
        }
        write_json(f"{place.features}/encodings.json", encodings)
        items = {
            "item_id": self.item_ids,
            "item_code": np.arange(ITEMS) + FIRST_VALUE,
            "department": [f"dep-{i}" for i in self.department],
            "department_code": self.department + FIRST_VALUE,
            "brand": [f"brand-{i}" for i in self.brand],
            "brand_code": self.brand + FIRST_VALUE,
            "price": self.price,
        }
        _save_table(f"{place.features}/items.parquet", items)
        cells = Counter(
            zip((self.time // MS_PER_DAY).tolist(), self.region.tolist(), (self.item + FIRST_VALUE).tolist())
        )
        keys = sorted(cells)
        buckets = {
            "bucket": np.array([k[0] for k in keys], np.int32),
            "region": [f"region-{k[1]}" for k in keys],
            "item_code": np.array([k[2] for k in keys], np.int32),
            "count": np.array([cells[k] for k in keys], np.int32),
        }
        _save_table(f"{place.features}/buckets.parquet", buckets)
        for number, window in enumerate("BC"):
            start = CUT - (10 - 5 * number) * MS_PER_DAY
            _save_table(f"{place.features}/rows/window={window}/part-0.parquet", self._rows(start))
        _save_table(f"{place.features}/rows/window=cold/part-0.parquet", beginners(self, CUT - 5 * MS_PER_DAY))
        users = [user for user in range(USERS) if self.log(user, CUT)]
        _save_table(f"{place.features}/requests.parquet", self._requests(users))
        write_manifest(place.features, "features-1", shift_ms=SHIFT)

    def _rows(self, start: int) -> dict:
        rows = np.flatnonzero((self.time >= start) & (self.time < start + 5 * MS_PER_DAY))
        pairs, targets = [], []
        for r in rows:
            user, as_of = int(self.user[r]), int(self.time[r])
            if self.item_ids[self.item[r]] not in self.row(user, as_of)["seen_item_ids"]:
                pairs.append((user, as_of))
                targets.append([int(self.item[r]) + FIRST_VALUE])
        columns = self.raw(pairs)
        columns["row_id"] = np.arange(len(pairs))
        columns["target_item_codes"] = pa.array(targets, pa.list_(pa.int32()))
        return columns

    def _requests(self, users: list[int]) -> dict:
        columns = self.raw([(user, CUT) for user in users])
        n = len(users)
        nothing = {"exclude_item_ids": pa.array([[]] * n, pa.list_(pa.string()))}
        whole = {"kind": [Kind.TEST] * n, "known_events": np.full(n, WHOLE_HISTORY, np.int32)}
        return {**columns, **whole, "request_id": columns["user_id"], "region": [""] * n, **nothing}

    def raw(self, pairs: list[tuple[int, int]]) -> dict:
        rows = [self.row(user, as_of) for user, as_of in pairs]
        names = [feature.name for view in feature_views(self.config.features) for feature in view.features]
        columns: dict = {name: [row[name] for row in rows] for name in names}
        columns["user_id"] = [self.user_ids[user] for user, _ in pairs]
        columns["as_of"] = np.array([as_of for _, as_of in pairs], np.int64)
        columns["region"] = columns["home_region"]
        columns["k"] = [100] * len(pairs)
        return columns

    def histories(self, bought: np.ndarray) -> Histories:
        """Every user's items; the last five users have no code."""
        users, items = np.nonzero(bought)
        codes = np.where(np.arange(USERS) < USERS - 5, np.arange(USERS) + FIRST_VALUE, -1)
        return Histories(codes, np.r_[0, np.cumsum(np.bincount(users, minlength=USERS))], items.astype(np.int32))

    def _retrieval(self, folder: str) -> None:
        embeddings = np.eye(DEPARTMENTS, dtype=np.float32)[self.department]
        embeddings += self.rng.normal(0, 0.2, embeddings.shape).astype(np.float32)
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        _save(f"{folder}/query_tower.onnx", query_tower_graph(self.config, embeddings, USERS, self.rng))
        np.save(f"{folder}/item_embeddings.npy", embeddings)
        bought = np.zeros((USERS, ITEMS))
        np.add.at(bought, (self.user[self.time < CUT], self.item[self.time < CUT]), 1)
        together = (bought > 0).T.astype(np.float64) @ (bought > 0)
        np.fill_diagonal(together, 0)
        neighbours = np.argsort(-together, axis=1, kind="stable")[:, :20]
        weights = np.take_along_axis(together, neighbours, axis=1).astype(np.float32)
        codes = np.where(weights > 0, neighbours + FIRST_VALUE, 0).astype(np.int32)
        np.savez(f"{folder}/item_item.npz", neighbours=codes, weights=weights / 10)
        np.save(f"{folder}/als.npy", self.factors)
        np.savez(f"{folder}/user_user.npz", **self.histories(bought > 0)._asdict())
        write_manifest(folder, f"retrieval-{folder.rsplit('/', 1)[1]}", recent_half_life_hours=240.0, temperature=0.1)


def _save(url: str, data: bytes) -> None:
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    filesystem.pipe_file(path, data)


def _save_table(url: str, columns: dict) -> None:
    filesystem, path = fsspec.core.url_to_fs(url)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    pq.write_table(pa.table(columns), path)
