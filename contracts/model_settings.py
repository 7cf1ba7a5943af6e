"""How models are trained and how a request is answered: the ``[train]`` and ``[serve]`` tables of a configuration."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Sizes and steps of the models."""

    seed: int = 20
    embedding_dim: int = 64
    #: How recent items become a query: "pooling" takes their mean by age, "attention" their order.
    query_encoder: str = "pooling"
    retrieval_epochs: int = 1  # most epochs: training ends when none gets better on window C
    retrieval_batch: int = 2048
    retrieval_max_pairs: int = 250_000
    temperature: float = 0.1
    #: Negatives of a batch beside its own items, drawn from the whole catalogue by a power of how often each is taken
    #: (0: evenly). Attention learns by the whole catalogue and needs none.
    sampled_negatives: int = 0
    sampled_power: float = 0.0
    learning_rate: float = 0.002
    #: Share of training queries whose user id is hidden, so that a user never seen is served by what he did.
    id_dropout: float = 0.3
    #: The same of items taken, so that one that came after training is found by its attributes.
    item_id_dropout: float = 0.0
    #: Half-life of a recent item's weight in the query tower.
    recent_half_life_hours: float = 720.0
    item_item_items: int = 20_000  # at most, those of most users: 4 bytes each squared
    item_item_neighbours: int = 300
    item_item_regularization: float = 500.0
    #: By which that of an item grows with the users who took it: 0 holds all back alike, as EASE was published.
    item_item_regularization_power: float = 0.0
    als_factors: int = 0  # of matrix factorisation as a source of candidates; 0: none
    als_regularization: float = 10.0
    #: Users whose histories a release holds, so that it finds who is alike: those of late; 0: none.
    user_user_users: int = 0
    #: "dcn", "dlrm" or "mmoe", networks of the settings below; or "trees", boosted: 20 of them are an epoch.
    ranker: str = "dcn"
    #: "binary" looks at every candidate by itself, "listwise" at those of a request together.
    ranker_loss: str = "binary"
    #: What else the ranker learns of a hit: "value" (of the event), "dwell" (reported of the item), or "" for nothing.
    second_task: str = ""
    ranker_width: int = 64  # of the first deep layer; the next has half
    ranker_l2: float = 0.001
    ranker_learning_rate: float = 0.002
    ranker_epochs: int = 10  # at most: the best by requests held out of window B is kept
    ranker_batch: int = 1024
    #: Most users of windows B and C, and most rows.
    ranker_users: int = 2000
    ranker_rows: int = 8000
    #: What a row of windows B and C asks for: all that a user takes within so many days; 0: what he takes next.
    horizon_days: int = 0
    #: Deep layers in half the bits: "auto" where a GPU is made for it, "off", "mixed_float16" or "mixed_bfloat16".
    mixed_precision: str = "auto"
    #: An update learns from rows of so many days before the cut at most; a resident model older than that is refitted.
    update_days: int = 7
    #: Old rows that an update learns again with each new one, and its small steps.
    update_replay: int = 4
    update_learning_rate: float = 0.0002
    #: Share of NDCG@10 or recall@100 on rows learned before that an update may cost; beyond it the update is refused.
    update_max_forgetting: float = 0.1


@dataclasses.dataclass(frozen=True)
class ServeSettings:
    """What the ensemble does with a request."""

    exclude_seen: bool = True
    #: Item column -> values that are never listed; and column -> the only ones that are. Columns of item_categorical.
    never: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    only: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict[str, tuple[str, ...]])
    two_tower_candidates: int = 200
    similar_candidates: int = 200
    als_candidates: int = 0  # as all of these, of the source's best; a source may score those of others with none
    user_user_candidates: int = 0
    user_user_neighbours: int = 100  # users alike whose items count
    #: Distinct items taken since, after which an item of a history counts half for ``similar_recent`` and
    #: ``als_recent``; 0: no such signals.
    history_half_items: float = 0.0
    trending_candidates: int = 100
    covisit_candidates: int = 60  # of what goes with the user's newest item, where that is counted
    session_candidates: int = 40  # trending items of the running session's categories
    trending_half_life_hours: float = 336.0
    #: Interactions of all regions that join a region's own in its trending list: one that has as many is half its own.
    trending_min_count: int = 500
    #: Weight of the running session's categories (0 switches session intent off).
    session_weight: float = 0.6
    #: Of items like an item: weights of item-item neighbours, of the two-tower's cosine and of co-visits.
    similar_item_item: float = 1.0
    similar_two_tower: float = 0.1
    similar_covisits: float = 1.0
