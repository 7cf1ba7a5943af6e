"""The candidate release becomes the current one, if the gate let it pass."""

from __future__ import annotations

from typing import Any

from contracts.artifacts import Zones, read_json, read_manifest, write_json
from contracts.errors import ArtifactError


def run(zones: Zones) -> dict[str, Any]:
    """Write ``current.json``.

    Raises:
        ArtifactError: when the evaluation is of another release, or its gate refused this one.
    """
    release = read_manifest(zones.releases)["release"]
    evaluation = read_json(f"{zones.answers}/evaluation.json")
    if evaluation.get("release") != release:
        raise ArtifactError(
            f"evaluation.json is of release {evaluation.get('release')!r}, the candidate is {release!r}: "
            "run `python -m ensemble answer` and `python -m train evaluate` again"
        )
    gate = evaluation["gate"]
    if not gate["passed"]:
        reasons = "\n".join(f"  - {reason}" for reason in gate["reasons"])
        raise ArtifactError(f"release {release} was refused by the gate; the current release stays\n{reasons}")
    write_json(f"{zones.releases}/current.json", {"release": release})
    return {"release": release, "promoted": True}
