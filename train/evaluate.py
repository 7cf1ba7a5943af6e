"""Judges the candidate release by its recorded answers, against baselines and the current release; opens the gate.

Nothing is tuned here: the window from the cut on is looked at for this report only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from contracts.artifacts import Zones, exists, read_json, read_manifest, write_json
from contracts.config import Config
from contracts.evaluation import Kind
from train import baselines, cold_start, current, gate, judged, report, slices
from train.baselines import made
from train.exposure import exposure
from train.judged import CURRENT, Judged
from train.metrics import METRICS
from train.population import Population
from train.tables import Catalogue, catalogue

#: Lists that the slices show beside the judged one.
SLICED = ("served", "popular", "current")


def run(config: Config, zones: Zones, force: bool = False) -> dict[str, Any]:
    """Write ``answers/evaluation.json`` and its report; the key figures.

    Raises:
        GateError: after writing, when the answers are not good enough to serve.
    """
    if not force and (done := current.evaluation(config, zones)):
        return done
    started = time.monotonic()
    document = judge(config, zones)
    document |= {
        "fingerprint": current.evaluation_mark(config, zones),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(f"{zones.answers}/{current.EVALUATION}", document)
    report.write(config, zones, document)
    return current.verdict(document)


def judge(config: Config, zones: Zones) -> dict[str, Any]:
    """The whole document: figures of every list, slices, cold start, calibration, latency, and the gate's verdict."""
    held, answers = catalogue(config, zones), read_manifest(zones.answers)
    asked = judged.judged(zones, held, slices.columns(config))
    lists = judged.lists(zones, held, asked)
    if answers["current"].get("release") and not answers["current"]["reason"]:
        lists["current"] = judged.lists(zones, held, asked, CURRENT)["served"]
    request_ids, others, tuned = made.lists(config, zones, held, baselines.QUICK)
    place = np.searchsorted(request_ids, asked.request_ids)
    lists |= {name: codes[place] for name, codes in others.items()}
    items = slices.item_history(config, zones, held)
    population = Population(asked.user_ids, config.train.seed)
    sliced = {name: lists[name] for name in SLICED if name in lists}
    document = {
        "release": answers["release"],
        **figures(lists, asked, population),
        "exposure_at_10": {name: exposure(codes, items.interactions) for name, codes in lists.items()},
        "baselines": tuned,
        "current": answers["current"],
        "slices": slices.judge(slices.slices(config, asked, items), asked, sliced, population),
        "cold_start": _cold_start(config, zones, held),
        "calibration": calibration(zones),
        "latency_ms": answers["latency_ms"],
    }
    return {**document, "gate": gate.verdict(document, config.gate)}


def figures(lists: Mapping[str, np.ndarray], asked: Judged, population: Population) -> dict[str, Any]:
    """Every metric of every list with its interval, and the answers against each other list.

    Args:
        lists: name -> int64 ``[requests, 10]`` item codes, best first; ``served`` and ``popular`` among them.
        asked: whose requests they answer, and what counts.
        population: for intervals.
    """
    relevant = asked.relevant
    by_request = {
        name: {metric: score(relevant.hits(codes), relevant.number) for metric, score in METRICS.items()}
        for name, codes in lists.items()
    }
    metrics = {
        name: {metric: population.mean(values) for metric, values in scores.items()}
        for name, scores in by_request.items()
    }
    pairs = [("served", name) for name in lists if name != "served"] + [("two_tower", "popular")]
    compared = {
        f"{one}_vs_{other}": population.compared(by_request[one]["ndcg"], by_request[other]["ndcg"])
        for one, other in pairs
    }
    return {
        "users": population.users,
        "requests": len(asked.request_ids),
        "relevant": int(relevant.number.sum()),
        "ndcg_at_10": round(metrics["served"]["ndcg"]["mean"], 5),
        "ndcg_at_10_popular": round(metrics["popular"]["ndcg"]["mean"], 5),
        "ndcg_at_10_two_tower": round(metrics["two_tower"]["ndcg"]["mean"], 5),
        "ratio": round(compared["served_vs_popular"]["ratio"], 4),
        "metrics_at_10": metrics,
        "compared": compared,
    }


def calibration(zones: Zones) -> dict[str, Any] | None:
    """``models/ranker/calibration.json``, where there is one."""
    url = f"{zones.ranker}/calibration.json"
    return read_json(url) if exists(url) else None


def _cold_start(config: Config, zones: Zones, held: Catalogue) -> list[dict[str, Any]]:
    asked = judged.judged(zones, held, ("known_events",), Kind.COLD)
    return cold_start.curve(config, asked, judged.lists(zones, held, asked)) if len(asked.request_ids) else []
