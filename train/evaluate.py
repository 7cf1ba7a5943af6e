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
from contracts.evaluation import Kind
from contracts.features import FIRST_VALUE
from train import baselines, current, report
from train.baselines import made
from train.metrics import METRICS, K, Population, interval
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
    judged = answered(zones, held)
    request_ids, others, tuned = made.lists(config, zones, held, baselines.QUICK)
    place = np.searchsorted(request_ids, judged.request_ids)
    document = judge(judged.lists | {name: codes[place] for name, codes in others.items()}, judged, config)
    document |= {
        "baselines": tuned,
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
    """What was new to the user of each request and taken after it: sorted ``request * items + code``, and how many."""

    keys: np.ndarray
    number: np.ndarray
    items: int

    def hits(self, codes: np.ndarray) -> np.ndarray:
        """Whether listed codes are relevant, bool of the shape of ``codes`` ``[requests, places]``; 0 never is."""
        keys = np.arange(len(codes))[:, None] * self.items + codes
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[place] == keys) & (codes > 0)


@dataclasses.dataclass(frozen=True)
class Judged:
    """The requests that count: those of users with history who took something new.

    Attributes:
        request_ids: strings, sorted.
        user_ids: whose request each is; a user may have several.
        lists: name -> int64 ``[requests, 10]`` item codes, best first.
        relevant: what counts.
    """

    request_ids: np.ndarray
    user_ids: np.ndarray
    lists: dict[str, np.ndarray]
    relevant: Relevant


def answered(zones: Zones, held: Catalogue, kind: str = Kind.TEST) -> Judged:
    """The answers to the requests of a kind that have something relevant, matched by request id.

    Raises:
        ArtifactError: when a request is answered twice or not at all, or none has anything relevant.
    """
    answers = read(f"{zones.answers}/answers.parquet", ["request_id", *ANSWERED.values()])
    requests = read(f"{zones.features}/requests.parquet", ["request_id", "kind"])
    asked, ids = (np.asarray(table["request_id"].to_pylist(), str) for table in (requests, answers))
    if not np.array_equal(np.sort(ids), np.sort(asked)):
        raise ArtifactError(
            f"{zones.answers}/answers.parquet: expected one answer to each of {len(asked)} requests, got {len(ids)} "
            f"({len(np.setdiff1d(asked, ids))} requests without one); run `python -m ensemble answer` again"
        )
    truth = read(f"{zones.features}/truth.parquet", ["request_id", "user_id", "item_codes"])
    wanted = asked[np.asarray(requests["kind"].to_pylist(), str) == kind]
    owners = np.asarray(truth["request_id"].to_pylist(), str)
    _, sizes = flat(truth, "item_codes")
    chosen = np.flatnonzero(np.isin(owners, wanted) & (sizes > 0))
    chosen = chosen[np.argsort(owners[chosen])]
    if not len(chosen):
        raise ArtifactError(
            f"{zones.features}/truth.parquet: none of {len(wanted)} {kind} requests has anything relevant after the cut"
        )
    truth = truth.take(chosen)
    codes, sizes = flat(truth, "item_codes")
    items = held.size + FIRST_VALUE
    keys = np.unique(np.repeat(np.arange(len(sizes)), sizes) * items + codes.astype(np.int64))
    relevant = Relevant(keys, np.bincount(keys // items, minlength=len(sizes)), items)
    order = np.argsort(ids)
    found = answers.take(order[np.searchsorted(ids[order], owners[chosen])])
    lists = {name: _codes(found, column, held) for name, column in ANSWERED.items()}
    return Judged(owners[chosen], np.asarray(truth["user_id"].to_pylist(), str), lists, relevant)


def _codes(answers, column: str, held: Catalogue) -> np.ndarray:
    """The first 10 of a column of item ids as codes, int64 ``[requests, 10]``, 0 where the list is shorter."""
    ids, lengths = flat(answers, column)
    starts = np.cumsum(lengths) - lengths
    index = starts[:, None] + np.arange(K)[None, :]
    taken = np.arange(K)[None, :] < lengths[:, None]
    order = np.argsort(held.item_ids)
    text = np.asarray(ids, str)
    place = np.minimum(np.searchsorted(held.item_ids[order], text), held.size - 1)
    codes = np.where(held.item_ids[order][place] == text, order[place] + FIRST_VALUE, 0)
    return np.where(taken, codes[np.minimum(index, max(len(codes) - 1, 0))], 0)


def judge(lists: Mapping[str, np.ndarray], judged: Judged, config: Config) -> dict[str, Any]:
    """Metrics with intervals, paired comparisons and the gate.

    Args:
        lists: name -> int64 ``[requests, 10]`` item codes, best first.
        judged: whose requests they answer, and what counts.
        config: for the seed and the gate.
    """
    relevant = judged.relevant
    population = Population(judged.user_ids, config.train.seed)
    by_request = {
        name: {metric: score(relevant.hits(codes), relevant.number) for metric, score in METRICS.items()}
        for name, codes in lists.items()
    }
    metrics = {
        name: {
            metric: {"mean": float(values.mean()), "interval": interval(population.means(values))}
            for metric, values in scores.items()
        }
        for name, scores in by_request.items()
    }
    compared = {
        f"{better}_vs_{worse}": _compared(by_request[better]["ndcg"], by_request[worse]["ndcg"], population)
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
        "users": population.users,
        "requests": len(relevant.number),
        "relevant": int(relevant.number.sum()),
        "ndcg_at_10": round(served, 5),
        "ndcg_at_10_popular": round(popular, 5),
        "ndcg_at_10_two_tower": round(metrics["two_tower"]["ndcg"]["mean"], 5),
        "ratio": round(ratio, 4),
        "metrics_at_10": metrics,
        "compared": compared,
        "gate": {"passed": not reasons, "reasons": reasons},
    }


def _compared(better: np.ndarray, worse: np.ndarray, population: Population) -> dict[str, Any]:
    """Paired over the same resampled users: ratio and difference of mean NDCG, each with its interval."""
    ours, theirs = population.means(better), population.means(worse)
    least = 1e-12  # A baseline without a single hit: the ratio is then huge, not undefined.
    return {
        "ratio": float(better.mean() / max(worse.mean(), least)),
        "ratio_interval": interval(ours / np.maximum(theirs, least)),
        "difference": float(better.mean() - worse.mean()),
        "difference_interval": interval(ours - theirs),
    }
