"""Which data by which protocol, what is asked of it, and what it takes to have them."""

from __future__ import annotations

from typing import NamedTuple

from contracts.artifacts import exists


class Protocol(NamedTuple):
    """One figure that the platform is held to.

    Attributes:
        name: what ``--only`` takes.
        config: below ``configs/``.
        metric: of ``metrics_at_10`` in the evaluation.
        title: of the metric, for people.
        target: what is asked of it.
        split: of ``python -m etl split``; "" for the configuration's own windows.
        needs: a file below ``TRIREME_DATA``; "" for data that a package brings.
    """

    name: str
    config: str
    metric: str
    title: str
    target: float
    split: str = ""
    needs: str = ""


PROTOCOLS = (
    Protocol("completejourney", "completejourney.toml", "ndcg", "NDCG@10", 0.070),
    Protocol(
        "ml-1m-leave-one-out",
        "ml-1m.toml",
        "ndcg",
        "NDCG@10",
        0.10,
        split="leave-one-out",
        needs="ml-1m-half/ratings_users_1_2999.parquet",
    ),
    Protocol("ml-100k-random", "movielens.toml", "ndcg", "NDCG@10", 0.45, split="random"),
    Protocol("globo-next-click", "globo.toml", "hit_rate", "HR@10", 0.50, needs="globo/clicks.parquet"),
)


def lacking(protocol: Protocol, folder: str) -> str:
    """Why a protocol cannot be run with the data below a folder or URL; "" when it can."""
    wanted = f"{folder}/{protocol.needs}"
    return f"{wanted} is not there (TRIREME_DATA names the folder)" if protocol.needs and not exists(wanted) else ""
