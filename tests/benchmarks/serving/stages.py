"""What of a request's CPU time is useful work, by the C++ backend's own account of its stages."""

from __future__ import annotations

from collections.abc import Mapping

#: onnxruntime, scoring and taking the best of the catalogue, and the one round trip to Redis: what any server must do.
USEFUL = ("query_tower", "ranker", "dot_products", "top_k", "store")
#: Scoring by neighbours and by users alike is work of the same kind, which the issue's list does not name.
OTHER_SOURCES = ("neighbours", "users_alike")
FAMILY = "trireme_stage_cpu_seconds"


def shares(before: Mapping[str, float], after: Mapping[str, float], server_seconds: float) -> dict[str, object]:
    """Each stage's share of a server's CPU time, and how much of it is useful.

    Args:
        before: CPU seconds by stage when the cell began.
        after: the same when it ended.
        server_seconds: user and system time of the server's process meanwhile, network and Triton's own included.

    Returns:
        ``useful_cpu_share``, ``useful_cpu_share_all_sources`` and ``cpu_share_by_stage``, in which ``server`` is what
        no stage accounts for; empty where the server keeps no account.
    """
    spent = {stage: after[stage] - before.get(stage, 0.0) for stage in after}
    if not spent or server_seconds <= 0:
        return {}
    by_stage = {stage: seconds / server_seconds for stage, seconds in spent.items()}
    by_stage["server"] = 1 - sum(by_stage.values())
    useful = sum(by_stage.get(stage, 0.0) for stage in USEFUL)
    others = sum(by_stage.get(stage, 0.0) for stage in OTHER_SOURCES)
    return {
        "useful_cpu_share": round(useful, 3),
        "useful_cpu_share_all_sources": round(useful + others, 3),
        "cpu_share_by_stage": {stage: round(share, 3) for stage, share in by_stage.items()},
    }
