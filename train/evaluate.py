"""Judges the candidate release by its recorded answers, against baselines, and opens or closes the gate.

Nothing is tuned here: the window from the cut on is looked at for this report only.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from contracts.artifacts import Zones, read_manifest, write_json
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE
from train import baselines, current, report
from train.metrics import METRICS, K, bootstrap_weights, interval
from train.tables import Catalogue, catalogue, flat, read

#: Our name of a list -> its column in ``answers.parquet``.
ANSWERED = {"served": "item_ids", "two_tower": "two_tower_ids", "retrieval_order": "candidate_ids"}
#: Paired comparisons: each better than the other, if the release is sound.
COMPARED = (("served", "popular"), ("two_tower", "popular"), ("served", "retrieval_order"), ("served", "item_item"))


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Write ``answers/evaluation.json`` and its chart; the key figures.

    Raises:
        GateError: after writing, when the answers are not good enough to serve.
    """
    if not force and (done := current.evaluation(config, zones)):
        return done
    started = time.monotonic()
    held = catalogue(config, zones)
    users, lists, relevant = answered(zones, held)
    until = int(read_manifest(zones.processed)["cut"])
    lists |= baselines.lists(config, zones, held, users, until)
    document = judge(lists, relevant, config)
    document |= {
        "fingerprint": current.evaluation_mark(config, zones),
        "release": read_manifest(zones.answers)["release"],
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(f"{zones.answers}/{current.EVALUATION}", document)
    report.show(document)
    report.chart(document, f"{zones.answers}/evaluation.png")
    return current.verdict(document)


@dataclasses.dataclass(frozen=True)
class Relevant:
    """What was new to each user and taken from the cut on: sorted ``user * items + code`` keys, and how many each."""

    keys: np.ndarray
    number: np.ndarray
    items: int

    def hits(self, codes: np.ndarray) -> np.ndarray:
        """Whether listed codes are relevant, bool of the shape of ``codes`` ``[users, places]``; 0 never is."""
        keys = np.arange(len(codes))[:, None] * self.items + codes
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[place] == keys) & (codes > 0)


def answered(zones: Zones, held: Catalogue) -> tuple[np.ndarray, dict[str, np.ndarray], Relevant]:
    """Users with history and something relevant, the first 10 codes of each answered list, and what is relevant.

    Raises:
        ArtifactError: when a user is answered twice or asked for and not answered.
    """
    answers = read(f"{zones.answers}/answers.parquet", ["user_id", *ANSWERED.values()])
    asked = np.asarray(read(f"{zones.features}/requests.parquet", ["user_id"])["user_id"].to_pylist(), str)
    ids = np.asarray(answers["user_id"].to_pylist(), str)
    if not np.array_equal(np.sort(ids), np.sort(asked)):
        raise ArtifactError(
            f"{zones.answers}/answers.parquet: expected one answer to each of {len(asked)} requests, got {len(ids)} "
            f"({len(np.setdiff1d(asked, ids))} requests without one); run `python -m ensemble answer` again"
        )
    truth = read(f"{zones.features}/truth.parquet", ["user_id", "item_codes"])
    codes, lengths = flat(truth, "item_codes")
    owners = np.asarray(truth["user_id"].to_pylist(), str)[lengths > 0]
    users = np.intersect1d(owners, ids)
    if not len(users):
        raise ArtifactError(f"{zones.features}/truth.parquet: no user with history took anything new after the cut")
    items = held.size + FIRST_VALUE
    owner = np.searchsorted(users, np.repeat(owners, lengths[lengths > 0]))
    known = np.repeat(np.isin(owners, users), lengths[lengths > 0])
    keys = np.unique(owner[known] * items + codes[known].astype(np.int64))
    relevant = Relevant(keys, np.bincount(keys // items, minlength=len(users)), items)
    order = np.argsort(ids)
    chosen = answers.take(order[np.searchsorted(ids[order], users)])
    return users, {name: _codes(chosen, column, held) for name, column in ANSWERED.items()}, relevant


def _codes(answers, column: str, held: Catalogue) -> np.ndarray:
    """The first 10 of a column of item ids as codes, int64 ``[users, 10]``, 0 where the list is shorter."""
    ids, lengths = flat(answers, column)
    starts = np.cumsum(lengths) - lengths
    index = starts[:, None] + np.arange(K)[None, :]
    taken = np.arange(K)[None, :] < lengths[:, None]
    order = np.argsort(held.item_ids)
    text = np.asarray(ids, str)
    place = np.minimum(np.searchsorted(held.item_ids[order], text), held.size - 1)
    codes = np.where(held.item_ids[order][place] == text, order[place] + FIRST_VALUE, 0)
    return np.where(taken, codes[np.minimum(index, max(len(codes) - 1, 0))], 0)


def judge(lists: Mapping[str, np.ndarray], relevant: Relevant, config: Config) -> dict[str, Any]:
    """Metrics with intervals, paired comparisons and the gate.

    Args:
        lists: name -> int64 ``[users, 10]`` item codes, best first.
        relevant: what counts.
        config: for the seed and the gate.
    """
    weights = bootstrap_weights(len(relevant.number), np.random.default_rng(config.train.seed))
    by_user = {
        name: {metric: score(relevant.hits(codes), relevant.number) for metric, score in METRICS.items()}
        for name, codes in lists.items()
    }
    metrics = {
        name: {
            metric: {"mean": float(values.mean()), "interval": interval(weights @ values)}
            for metric, values in scores.items()
        }
        for name, scores in by_user.items()
    }
    compared = {
        f"{better}_vs_{worse}": _compared(by_user[better]["ndcg"], by_user[worse]["ndcg"], weights)
        for better, worse in COMPARED
    }
    ratio = compared["served_vs_popular"]["ratio"]
    served, popular = metrics["served"]["ndcg"]["mean"], metrics["popular"]["ndcg"]["mean"]
    reasons = []
    if not served >= config.serve.gate_min_ratio * popular:
        reasons.append(
            f"ndcg_at_10 of the answers is {served:.4f}, {ratio:.3f} of most-popular's {popular:.4f}; "
            f"the gate asks for {config.serve.gate_min_ratio} (serve.gate_min_ratio)"
        )
    return {
        "users": len(relevant.number),
        "relevant": int(relevant.number.sum()),
        "ndcg_at_10": round(served, 5),
        "ndcg_at_10_popular": round(popular, 5),
        "ndcg_at_10_two_tower": round(metrics["two_tower"]["ndcg"]["mean"], 5),
        "ratio": round(ratio, 4),
        "metrics_at_10": metrics,
        "compared": compared,
        "gate": {"passed": not reasons, "reasons": reasons},
    }


def _compared(better: np.ndarray, worse: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Paired over the same resampled users: ratio and difference of mean NDCG, each with its interval."""
    ours, theirs = weights @ better, weights @ worse
    least = 1e-12  # A baseline without a single hit: the ratio is then huge, not undefined.
    return {
        "ratio": float(better.mean() / max(worse.mean(), least)),
        "ratio_interval": interval(ours / np.maximum(theirs, least)),
        "difference": float(better.mean() - worse.mean()),
        "difference_interval": interval(ours - theirs),
    }
