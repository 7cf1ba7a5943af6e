"""Whether a model or the evaluation is current, asked without what it takes to make them.

TensorFlow's import takes ten seconds, those of the evaluation three, and a second run need not pay for either.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from contracts.artifacts import (
    MANIFEST,
    Zones,
    code_version,
    exists,
    fingerprint,
    is_current,
    read_json,
    read_manifest,
    resident,
)
from contracts.config import Config
from contracts.errors import GateError

log = logging.getLogger(__name__)

#: The evaluation's file in ``answers/``.
EVALUATION = "evaluation.json"


def retrieval_mark(config: Config, zones: Zones, kind: str) -> str:
    """The fingerprint of all that ``models/retrieval/<kind>`` is made from."""
    made = [read_manifest(zone)["fingerprint"] for zone in (zones.processed, zones.features)]
    return fingerprint(config.features, config.train, kind, *made, code_version("contracts", "train"))


def update(zones: Zones) -> dict[str, Any] | None:
    """The figures of the retrieval that serves where it knows all that is before the cut, or None."""
    zone = resident(zones)
    known = read_manifest(zone)
    if known["fitted_until"] != read_manifest(zones.processed)["cut"]:
        return None
    log.info("%s knows everything before the cut; nothing to do", zone)
    return {**known, "skipped": True}


def ranker_mark(config: Config, zones: Zones) -> str:
    """The fingerprint of all that ``models/ranker`` is made from."""
    made = [read_manifest(zone)["fingerprint"] for zone in (zones.features, zones.candidates)]
    return fingerprint(config.features, config.train, made, code_version("contracts", "train"))


def facts(zone: str, mark: str) -> dict[str, Any] | None:
    """The figures of a zone that was made from these very inputs, or None."""
    if not is_current(zone, mark):
        return None
    log.info("%s is current; nothing to do", zone)
    return {**read_manifest(zone), "skipped": True}


def evaluation_mark(config: Config, zones: Zones) -> str:
    """The fingerprint of all that ``answers/evaluation.json`` is made from."""
    answers, features = read_manifest(zones.answers), read_manifest(zones.features)
    made = [features["fingerprint"], answers["fingerprint"], answers["release"], answers["current"].get("release")]
    if exists(f"{zones.baselines}/{MANIFEST}"):
        made.append(",".join(read_manifest(zones.baselines)["baselines"]))
    return fingerprint(config.serve, config.gate, made, code_version("contracts", "train"))


def evaluation(config: Config, zones: Zones) -> dict[str, Any] | None:
    """The verdict on these very answers, or None where they have not been judged.

    Raises:
        GateError: when they were, and are not good enough to serve.
    """
    mark, url = evaluation_mark(config, zones), f"{zones.answers}/{EVALUATION}"
    if not exists(url) or (document := read_json(url)).get("fingerprint") != mark:
        return None
    log.info("evaluation is current; nothing to do")
    return verdict(document) | {"skipped": True}


def verdict(document: Mapping[str, Any]) -> dict[str, Any]:
    """The key figures of an evaluation.

    Raises:
        GateError: naming each number that was not reached.
    """
    if not document["gate"]["passed"]:
        raise GateError("; ".join(document["gate"]["reasons"]))
    names = ("release", "users", "ndcg_at_10", "ndcg_at_10_popular", "ratio", "ndcg_at_10_two_tower", "seconds")
    return {name: document[name] for name in names}
