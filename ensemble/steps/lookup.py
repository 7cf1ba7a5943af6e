"""Raw feature rows to arrays: what ``feature_lookup`` does after the Redis read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from contracts import folds
from contracts.blending import recent_weights
from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY, feature_views, query_columns
from contracts.merging import merge
from contracts.request_context import raw_values
from contracts.requests import Request, SimilarRequest
from ensemble.steps.arrays import Query
from ensemble.steps.envelope import Envelope, deadline
from ensemble.steps.tables import Tables

Row = Mapping[str, Any]


class Lookup:
    """Encodes requests and rows with the tables of a release."""

    def __init__(self, tables: Tables):
        self._tables = tables
        self._items = tables.vocabularies["item_id"]
        self._categories = tables.vocabularies.get(tables.features.category, {})

    def unknown_row(self) -> dict[str, Any]:
        """The raw row of a user never seen."""
        return {
            name: value for view in feature_views(self._tables.features) for name, value in view.empty_row().items()
        }

    def person(self, rows: Sequence[Row]) -> Row:
        """One row out of those of a person's ids, at most two; without any it is that of a user never seen."""
        if not rows:
            return self.unknown_row()
        return rows[0] if len(rows) == 1 else merge(rows[0], rows[1], self._tables.features)

    def envelope(
        self, request: Request, row: Row, as_of: int, started_ms: int, variant: str = "", recorded: bool = False
    ) -> Envelope:
        """The request as the later steps need it.

        Args:
            request: what was asked.
            row: the user's raw row.
            as_of: the instant for which the answer holds, ms.
            started_ms: wall clock at which the request came.
            variant: the arm of the experiment that answers.
            recorded: whether the row came with the request.
        """
        newest = row["last_event_time"]
        return Envelope(
            user_id=request.answered_id,
            as_of=as_of,
            deadline=deadline(started_ms, request.deadline_ms),
            k=request.k,
            region=request.region or row["home_region"] or "",
            excluded=self.codes(request.exclude_ids),
            **self.wishes(request),
            recorded=recorded,
            request_id=request.request_id,
            evidence=row["interaction_count"],
            session_dwell_ms=row["session_dwell_ms"],
            feature_age_ms=max(0, as_of - newest) if newest else -1,
            variant=variant,
            anonymous_id=request.anonymous_id,
            session_id=request.session_id,
            device=request.device,
            context=request.context,
        )

    def wishes(self, request: Request | SimilarRequest) -> dict[str, Any]:
        """The part of an envelope that says what may be listed, and how."""
        wish = request.candidate_filter
        return {
            "categories": self._known(self._categories, wish.category) if wish.category else None,
            "price_min": wish.price_min,
            "price_max": wish.price_max,
            "available": wish.available,
            "diversity": request.diversity,
        }

    def codes(self, ids: Sequence[str]) -> tuple[int, ...]:
        """Codes of those ids that are in the catalogue."""
        return self._known(self._items, ids)

    @staticmethod
    def _known(codes: Mapping[str, int], values: Sequence[str]) -> tuple[int, ...]:
        return tuple(code for code in map(codes.get, values) if code is not None)

    def query(self, envelopes: Sequence[Envelope], rows: Sequence[Row]) -> Query:
        """Encode ``b`` requests' raw rows as of their instants."""
        as_of = [envelope.as_of for envelope in envelopes]
        recent, weights = self._recent(rows, as_of)
        return Query(
            user_codes=self._user_codes(envelopes, rows),
            recent_items=recent,
            recent_weights=weights,
            seen_items=self._seen(rows),
            category_shares=self._category_counts(rows, as_of),
        )

    def _user_codes(self, envelopes: Sequence[Envelope], rows: Sequence[Row]) -> np.ndarray:
        code, features = self._tables.code, self._tables.features
        regions, as_of = [x.region for x in envelopes], [x.as_of for x in envelopes]
        raw = {"user_id": [x.user_id for x in envelopes]}
        raw |= {name: [row[name] for row in rows] for name in features.user_categorical}
        raw |= raw_values(features.context, regions, as_of, self._tables.clock)
        names = query_columns(features)
        return np.array(
            [
                [code(name, value) for name, value in zip(names, values)]
                for values in zip(*(raw[name] for name in names))
            ],
            np.int64,
        ).reshape(len(rows), len(names))

    def _recent(self, rows: Sequence[Row], as_of: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Codes and weights of the recent items, both ``[b, recent_items]``."""
        width = self._tables.features.recent_items
        ids = [row["recent_item_ids"][:width] for row in rows]
        instants = [row["recent_event_times"][:width] for row in rows]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        if lengths.tolist() != list(map(len, instants)):
            raise ValueError("expected as many recent_event_times as recent_item_ids in a row")
        held = np.arange(width) < lengths[:, None]
        items = np.zeros((len(rows), width), np.int64)
        items[held] = [self._items.get(item, OUT_OF_VOCABULARY) if item else NULL for row in ids for item in row]
        times = np.zeros((len(rows), width), np.int64)
        times[held] = [time for row in instants for time in row]
        ages = np.asarray(as_of, np.int64)[:, None] - times
        weights = recent_weights(ages, self._tables.recent_half_life_hours)
        return items, np.where(held, weights, np.float32(0))

    def _seen(self, rows: Sequence[Row]) -> np.ndarray:
        """Distinct catalogue items of stream and batch, ``[b, seen_width]``, newest first; a loop over users."""
        features = self._tables.features
        seen = np.zeros((len(rows), self._tables.seen_width), np.int32)
        for i, row in enumerate(rows):
            batch = row["seen_item_ids"][: features.max_seen_items]
            stream = row["recent_item_ids"][: features.recent_items]
            codes = self._catalogue_codes(dict.fromkeys([*stream, *batch]))
            seen[i, : len(codes)] = codes
        return seen

    def _catalogue_codes(self, ids: Iterable[str]) -> np.ndarray:
        """Codes of those ids that are in the catalogue, int64."""
        get = self._items.get
        return np.array([code for code in map(get, ids) if code is not None], np.int64)

    def _category_counts(self, rows: Sequence[Row], as_of: Sequence[int]) -> np.ndarray:
        """Decayed counts by category code as of the request, flat ``[b, half-lives * categories]``."""
        features, width = self._tables.features, self._tables.categories
        hours = features.count_half_lives_hours
        counts = np.zeros((len(rows), len(hours), width), np.float32)
        code = self._tables.code
        for i, row in enumerate(rows):
            codes = [code(features.category, name) for name in row["count_categories"]]
            if codes:
                for j, half_life in enumerate(hours):
                    counts[i, j] = np.bincount(codes, folds.value(row, as_of[i], half_life), width)
        return counts.reshape(len(rows), len(hours) * width)


def catalogue_mask(codes: np.ndarray, items: int) -> np.ndarray:
    """Which catalogue items are among the codes.

    Args:
        codes: int ``[b, w]``, 0 pads.
        items: the catalogue's size.

    Returns:
        bool ``[b, items]``, column i stands for code i + 3.
    """
    mask = np.zeros((len(codes), items + FIRST_VALUE), bool)
    np.put_along_axis(mask, codes.astype(np.int64), True, axis=1)
    return mask[:, FIRST_VALUE:]
