"""Another made-up world, in which every optional part of the steps is on: hourly buckets, co-visits, new items."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.artifacts import Zones, read_json, write_json
from contracts.buckets import bucket_ms
from contracts.features import FIRST_VALUE, RETRIEVAL_SIGNALS
from contracts.request_context import FIXED
from tests.ensemble.graphs import ranker_graph
from tests.ensemble.made_up import World, _save


class News(World):
    def __init__(self, seed: int = 6):
        super().__init__(seed)
        features = dataclasses.replace(
            self.config.features,
            bucket_minutes=60,
            covisit_half_lives_hours=(1.0, 24.0),
            popularity_half_lives_hours=(0.5, 168.0, 720.0),
            live_items=True,
            first_takes=True,
            context=("region", "weekday", "hour"),
            timezone="America/St_Johns",
        )
        serve = dataclasses.replace(
            self.config.serve,
            exclude_seen=False,
            covisit_candidates=15,
            history_half_items=5.0,
            never={"brand": ("brand-3", "recalled")},
            only={"department": tuple(f"dep-{i}" for i in range(7))},
        )
        self.config = dataclasses.replace(self.config, features=features, serve=serve)

    def write(self, root: str) -> Zones:
        """The ranker heeds every column, so that one that is computed otherwise is seen in the scores."""
        place = super().write(root)
        _save(f"{place.ranker}/ranker.onnx", ranker_graph(self.config, others=0.1))
        signals = {name: 0.1 + 0.05 * i for i, name in enumerate(RETRIEVAL_SIGNALS)}
        halves = {"evidence_half": 3.0, "ranker_evidence_half": 2.0}
        knots = {"logit": [-2.0, 0.0, 1.0], "log_odds": [-3.0, -1.0, 1.5]}
        blend = {"calibration": knots, "signals": signals, "retrieval_weight": 2.0, "spread": 0.4, **halves}
        write_json(f"{place.ranker}/blend.json", blend)
        return place

    def _features(self, place: Zones) -> None:
        super()._features(place)
        url = f"{place.features}/encodings.json"
        write_json(url, {**read_json(url), "weekday": FIXED["weekday"]})
        bucket, item = self.time // bucket_ms(self.config.features), self.item + FIRST_VALUE
        cells = Counter(zip(bucket.tolist(), self.region.tolist(), item.tolist()))
        number, region, code = zip(*sorted(cells))
        columns = {
            "bucket": np.array(number, np.int32),
            "region": [f"region-{name}" for name in region],
            "item_code": np.array(code, np.int32),
            "count": np.array([cells[key] for key in sorted(cells)], np.int32),
        }
        pq.write_table(pa.table(columns), f"{place.features}/buckets.parquet")
        _, first = np.unique(self.user * len(self.item_ids) + self.item, return_index=True)
        firsts = Counter(zip(bucket[first].tolist(), item[first].tolist()))
        number, code = zip(*sorted(firsts))
        columns = {"bucket": np.array(number, np.int32), "item_code": np.array(code, np.int32)}
        columns["count"] = np.array([firsts[key] for key in sorted(firsts)], np.int32)
        pq.write_table(pa.table(columns), f"{place.features}/first_takes.parquet")
        pairs: Counter[tuple[int, int, int]] = Counter()
        for user in range(len(self.user_ids)):
            rows = np.flatnonzero(self.user == user)
            pairs.update(zip(bucket[rows[1:]].tolist(), item[rows[:-1]].tolist(), item[rows[1:]].tolist()))
        earlier = zip(*sorted(pairs))
        table = {name: np.array(held, np.int32) for name, held in zip(("bucket", "item_code", "next_code"), earlier)}
        table["count"] = np.array([pairs[key] for key in sorted(pairs)], np.int32)
        pq.write_table(pa.table(table), f"{place.features}/covisits.parquet")
