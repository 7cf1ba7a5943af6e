"""The peer's work for one request: what a good engineer writes who needs neither batches nor steps.

It answers what ``ensemble.steps.chain.Chain`` answers (the benchmark compares the ids) from the same files, and was
made as fast as numpy allows without another language:

- nothing is batched, so no loops over requests of one, no padding, no envelope between steps;
- retrieval's signals are computed once (the chain, whose steps share no memory, does it three times), for all sources
  in one call;
- what depends on the item and the day alone (popularity, trends, first takes: 17 of the ranker's columns) is one
  matrix, made when a day begins, of which a request gathers rows; trending lists are sorted once a day;
- the neighbours of a history are gathered once for both of its weightings, and factors of a fading history meet the
  candidates only;
- item attributes are one matrix, likewise gathered once.
"""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np

from contracts.blending import Evidence, by_evidence, calibrated, personal_score, retrieval_score
from contracts.errors import RequestError
from contracts.features import (
    FIRST_VALUE,
    MINUTES_PER_DAY,
    RETRIEVAL_SIGNALS,
    SOURCES,
    activity_column,
    count_column,
    ranker_continuous,
)
from contracts.requests import Request, Source
from contracts.user_user import Alike, Histories
from ensemble.steps import graphs, sources
from ensemble.steps.arrays import Query
from ensemble.steps.envelope import Envelope
from ensemble.steps.lookup import Lookup, Row
from ensemble.steps.release import Release
from ensemble.steps.retrieval import session_weights
from ensemble.steps.scores import log_of_greatest, standardised, top_k
from ensemble.steps.tables import load
from tests.benchmarks.serving.peer_days import Day, Days

_MS_PER_MINUTE = 60_000


class Engine:
    """A release, loaded for single requests."""

    def __init__(self, release: Release):
        settings = release.features
        if settings.covisit_half_lives_hours or settings.live_items or settings.bucket_minutes < MINUTES_PER_DAY:
            raise SystemExit(f"the peer was written for catalogues of days, not for {release.document['name']}")
        self._tables = load(release)
        self._lookup = Lookup(self._tables)
        self._serve, self._features = release.serve, settings
        self._items = self._tables.items
        self._tower = graphs.session(release.read(graphs.QUERY_TOWER))
        self._ranker = graphs.session(release.read(graphs.RANKER))
        self._embeddings = release.array(graphs.ITEM_EMBEDDINGS)
        table = release.arrays(sources.ITEM_ITEM)
        codes = table["neighbours"].astype(np.int64)
        self._neighbours = np.where(codes >= FIRST_VALUE, codes - FIRST_VALUE, self._items)
        self._weights = table["weights"].astype(np.float64)
        files = release.document["files"]
        self._factors = release.array(sources.ALS) if sources.ALS in files else None
        histories = release.arrays(sources.USER_USER) if sources.USER_USER in files else None
        self._alike = Alike(Histories(**histories), self._items) if histories else None
        names = settings.item_categorical
        self._codes = np.stack([self._tables.item_codes[name] for name in names], axis=1)
        self._widths = [len(self._tables.vocabularies[name]) + FIRST_VALUE for name in names]
        self._columns = {name: i for i, name in enumerate(ranker_continuous(settings))}
        self._days = Days(self._tables, self._columns)
        self._blend = release.document["blend"]
        self._halves = Evidence(float(self._blend["evidence_half"]), float(self._blend["ranker_evidence_half"]))

    def answer(self, request: Request, row: Row, as_of: int) -> dict[str, Any]:
        """The answer's document, fields as ``contracts.requests.Answer``.

        Raises:
            RequestError: when a list of unlike items is asked for, which the peer has not learned.
        """
        if request.diversity:
            raise RequestError("diversity", "expected 0")
        envelope = self._lookup.envelope(request, row, as_of, as_of)
        query = self._lookup.query([envelope], [row])
        seen = query.seen_items[0]
        seen = seen[seen > 0].astype(np.int64) - FIRST_VALUE
        day = self._days.at(as_of)
        demand, order = self._days.demand(as_of, envelope.region)
        blocked = self._tables.shelves.now.blocked(envelope)
        if self._serve.exclude_seen:
            blocked[seen] = True
        if envelope.excluded:
            blocked[np.asarray(envelope.excluded) - FIRST_VALUE] = True
        at, scores = self._candidates(query, seen, blocked, demand, order)
        named = self._signals(scores, day.trend[at])
        best_first = np.argsort(-retrieval_score(named, self._blend["signals"]), kind="stable")
        at, named = at[best_first], {name: values[best_first] for name, values in named.items()}
        logit = self._rank(envelope, query, seen, at, named, day)
        return self._blended(envelope, query, at, named, logit, demand, blocked)

    def _candidates(
        self, query: Query, seen: np.ndarray, blocked: np.ndarray, demand: np.ndarray, order: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places of the candidates, rising, int64 ``[m]``, and their scores by source, float32 ``[sources, m]``."""
        serve, items = self._serve, self._items
        inputs = {name: getattr(query, name) for name in ("user_codes", "recent_items", "recent_weights")}
        (embedding,) = self._tower.run(["query_embedding"], inputs)
        dense: dict[str, np.ndarray] = {"two_tower": self._embeddings @ embedding[0]}
        recent_user = None
        if len(seen):
            held = np.sort(seen)
            fading = np.zeros(items, np.float32)
            if serve.history_half_items:
                fading[seen] = np.exp2(-np.arange(len(seen)) / serve.history_half_items)
            counts = fading[held]
            codes, weights = self._neighbours[held].ravel(), self._weights[held]
            dense["similar"] = np.bincount(codes, weights.ravel(), items + 1)[:-1]
            if serve.history_half_items:
                dense["similar_recent"] = np.bincount(codes, (weights * counts[:, None]).ravel(), items + 1)[:-1]
            if self._factors is not None:
                user, recent_user = np.stack([np.ones_like(counts), counts]) @ self._factors[held]
                dense["als"] = self._factors @ user
            if self._alike is not None:
                own = query.user_codes[0, 0]
                dense["user_user"] = self._alike.scores(held, own, serve.user_user_neighbours)
        free = order[: serve.trending_candidates + int(blocked.sum())]
        found = [free[~blocked[free]][: serve.trending_candidates]]
        for source, number in (
            ("two_tower", serve.two_tower_candidates),
            ("similar", serve.similar_candidates),
            ("als", serve.als_candidates),
            ("user_user", serve.user_user_candidates),
        ):
            if number and source in dense:
                (best,) = top_k(np.where(blocked, -np.inf, dense[source])[None], number)
                found.append(best[best >= 0])
        weights = session_weights(self._tables, query)[0]
        if weights.any():
            wanted = demand * weights[self._tables.item_category[FIRST_VALUE:]]
            wanted[blocked | (wanted <= 0)] = -np.inf
            (best,) = top_k(wanted[None], serve.session_candidates)
            found.append(best[best >= 0])
        at = np.unique(np.concatenate(found))
        scores = np.full((len(SOURCES), len(at)), -np.inf, np.float32)
        for i, source in enumerate(SOURCES):
            if source in dense:
                scores[i] = dense[source][at]
            elif source == "als_recent" and recent_user is not None and serve.history_half_items:
                scores[i] = self._factors[at] @ recent_user
        return at, scores

    def _signals(self, scores: np.ndarray, trend: np.ndarray) -> dict[str, np.ndarray]:
        valid = np.ones(scores.shape, bool)
        standard, logs = standardised(scores, valid), log_of_greatest(scores, valid)
        named = {f"{source}_score": standard[i] for i, source in enumerate(SOURCES)}
        named |= {f"{source}_log": logs[i] for i, source in enumerate(SOURCES)}
        named["trend"] = trend
        return {name: named[name] for name in RETRIEVAL_SIGNALS}

    def _rank(
        self,
        envelope: Envelope,
        query: Query,
        seen: np.ndarray,
        at: np.ndarray,
        named: dict[str, np.ndarray],
        day: Day,
    ) -> np.ndarray:
        """Logits of the candidates, float32 ``[m]``."""
        settings, place = self._features, self._columns
        continuous = day.columns[at]
        for name, values in named.items():
            continuous[:, place[name]] = values
        codes = self._codes[at + FIRST_VALUE]
        for weights, items, shares, number in (
            (query.recent_weights[0], query.recent_items[0], "recent_share", None),
            (np.ones(len(seen), np.float32), seen + FIRST_VALUE, "seen_share", max(float(len(seen)), 1e-30)),
        ):
            total = max(float(weights.sum(dtype=np.float64)), 1e-30)
            held = self._codes[items]
            for i, name in enumerate(settings.item_categorical):
                share = np.bincount(held[:, i], weights, self._widths[i])[codes[:, i]] / total
                continuous[:, place[f"{shares}_{name}"]] = share
                if number is not None:
                    continuous[:, place[f"seen_count_{name}"]] = np.log1p(share * number)
        hours = settings.count_half_lives_hours
        counts = query.category_shares.reshape(len(hours), -1).astype(np.float64)
        category = self._tables.item_category[at + FIRST_VALUE]
        for half_life, held in zip(hours, counts):
            total = held.sum()
            share = held[category] / total if total > 1e-30 else 0.0
            continuous[:, place[count_column(half_life).replace("_counts_", "_share_")]] = share
            continuous[:, place[activity_column(half_life)]] = np.log1p(total)
        continuous[:, place["evidence"]] = np.log1p(envelope.evidence)
        continuous[:, place["session_dwell"]] = np.log1p(envelope.session_dwell_ms / _MS_PER_MINUTE)
        users = query.user_codes[0, 1:]
        categorical = np.empty((len(at), len(users) + codes.shape[1]), np.int64)
        categorical[:, : len(users)], categorical[:, len(users) :] = users, codes
        return np.asarray(self._ranker.run(["logit"], {"categorical": categorical, "continuous": continuous})[0])

    def _blended(
        self,
        envelope: Envelope,
        query: Query,
        at: np.ndarray,
        named: dict[str, np.ndarray],
        logit: np.ndarray,
        demand: np.ndarray,
        blocked: np.ndarray,
    ) -> dict[str, Any]:
        blend, codes = self._blend, at + FIRST_VALUE
        ranked = calibrated(logit, blend["calibration"]).astype(np.float32)
        merged = retrieval_score(named, blend["signals"])
        logged = personal_score(ranked, merged, float(blend["retrieval_weight"]), float(blend["spread"]))
        evidence = np.array([[envelope.evidence]])
        both = by_evidence(
            logged.astype(np.float64)[None], named["two_tower_score"][None], demand[at][None], evidence, self._halves
        )
        personal, common = both[0][0], both[1][0]
        in_session = session_weights(self._tables, query)[0]
        personal = personal + self._serve.session_weight * in_session[self._tables.item_category[codes]]
        final = personal + common
        (best,) = top_k(final[None], envelope.k)
        best = best[best >= 0]
        similar = named["similar_score"] > named["two_tower_score"]
        kinds = np.where(common > personal, Source.TRENDING, np.where(similar, Source.SIMILAR, Source.PERSONAL))
        listed, scores, kinds = codes[best], final[best], kinds[best].tolist()
        if len(best) < envelope.k:
            rest = np.where(blocked, -np.inf, demand)
            rest[listed - FIRST_VALUE] = -np.inf
            (more,) = top_k(rest[None], envelope.k - len(best))
            more = more[more >= 0]
            last = min(float(scores[-1]), 1.0) if len(scores) else 1.0
            listed, scores = np.concatenate([listed, more + FIRST_VALUE]), np.concatenate([scores, demand[more] * last])
            kinds += [Source.TRENDING] * len(more)
        return {
            "request_id": envelope.request_id or uuid.uuid4().hex,
            "user_id": envelope.user_id,
            "item_ids": self._tables.item_ids[listed].tolist(),
            "scores": scores.astype(np.float32).tolist(),
            "sources": kinds,
            "release": self._tables.release,
            "variant": envelope.variant,
            "feature_age_ms": envelope.feature_age_ms,
            "skipped": [],
        }
