"""Whether a model is current, asked without TensorFlow: its import takes ten seconds that a second run need not pay."""

from __future__ import annotations

import logging
from typing import Any

from contracts.artifacts import Zones, code_version, fingerprint, is_current, read_manifest
from contracts.config import Config

log = logging.getLogger(__name__)


def retrieval_mark(config: Config, zones: Zones, kind: str) -> str:
    """The fingerprint of all that ``models/retrieval/<kind>`` is made from."""
    made = [read_manifest(zone)["fingerprint"] for zone in (zones.processed, zones.features)]
    return fingerprint(config.features, config.train, kind, *made, code_version("contracts", "train"))


def ranker_mark(config: Config, zones: Zones) -> str:
    """The fingerprint of all that ``models/ranker`` is made from."""
    made = [read_manifest(zone)["fingerprint"] for zone in (zones.features, zones.candidates)]
    return fingerprint(
        config.features, config.train, config.serve.similar_weight, made, code_version("contracts", "train")
    )


def facts(zone: str, mark: str) -> dict[str, Any] | None:
    """The figures of a zone that was made from these very inputs, or None."""
    if not is_current(zone, mark):
        return None
    log.info("%s is current; nothing to do", zone)
    return {**read_manifest(zone), "skipped": True}
