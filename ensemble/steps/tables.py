"""The tables of a release that several steps share: vocabulary, item columns and interaction buckets.

They lie in ``feature_lookup/1/``; the other steps read them there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from contracts.config import FeatureSettings
from contracts.errors import ArtifactError
from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY
from contracts.model_settings import ServeSettings
from contracts.request_context import Clock
from ensemble.steps.release import Release
from ensemble.steps.shelf import Shelves

VOCABULARY = "feature_lookup/1/vocabulary.json"
ITEMS = "feature_lookup/1/items.npz"
BUCKETS = "feature_lookup/1/buckets.npz"
COVISITS = "feature_lookup/1/covisits.npz"
FIRST_TAKES = "feature_lookup/1/first_takes.npz"

_NOTHING = np.zeros(0, np.int32)


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Interactions by bucket, region and item; arrays of one length, sorted by region, then bucket.

    Attributes:
        number: int32, which bucket of time (``contracts/buckets.py``).
        region: int32, index into ``regions``.
        item: int32, item code.
        count: int32.
    """

    number: np.ndarray
    region: np.ndarray
    item: np.ndarray
    count: np.ndarray
    regions: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Covisits:
    """Pairs of items taken one after the other, by bucket; arrays of one length.

    Attributes:
        number: int32, which bucket of time.
        item: int32, code of the earlier.
        following: int32, code of the later.
        count: int32.
    """

    number: np.ndarray
    item: np.ndarray
    following: np.ndarray
    count: np.ndarray


@dataclasses.dataclass(frozen=True)
class Tables:
    """Shared tables; ``n`` is the catalogue's size, rows 0 to 2 stand for pad, null and out of vocabulary.

    Attributes:
        vocabularies: column -> value -> code.
        item_ids: object ``[n + 3]``, "" in the first three.
        item_codes: column -> int64 ``[n + 3]``.
        item_numeric: float32 ``[n + 3, numeric columns]``, standardised, 0 where unknown.
        item_price: float64 ``[n + 3]``, as it is, NaN where unknown.
        shelves: what may be listed; the one thing here that changes.
    """

    release: str
    features: FeatureSettings
    serve: ServeSettings
    vocabularies: Mapping[str, Mapping[str, int]]
    item_ids: np.ndarray
    item_codes: Mapping[str, np.ndarray]
    item_numeric: np.ndarray
    item_price: np.ndarray
    shelves: Shelves
    buckets: Buckets
    first_takes: Buckets
    covisits: Covisits
    recent_half_life_hours: float
    clock: Clock

    @property
    def items(self) -> int:
        """The catalogue's size."""
        return len(self.item_ids) - FIRST_VALUE

    @property
    def categories(self) -> int:
        """Codes of the category column, those of pad, null and out of vocabulary among them."""
        return len(self.vocabularies.get(self.features.category, ())) + FIRST_VALUE

    @property
    def item_category(self) -> np.ndarray:
        """Category code of every item code; null for all where the configuration names no category."""
        known = self.item_codes.get(self.features.category)
        return np.full(len(self.item_ids), NULL) if known is None else known

    @property
    def seen_width(self) -> int:
        """Width of ``seen_items``: all of the batch and all of the stream, at most the catalogue."""
        return min(self.items, self.features.max_seen_items + self.features.recent_items)

    def code(self, column: str, value: str | None) -> int:
        """The code of a raw value; empty is null, unknown is out of vocabulary."""
        return self.vocabularies[column].get(value, OUT_OF_VOCABULARY) if value else NULL


def load(release: Release, counted: bool = True) -> Tables:
    """The shared tables of a release.

    Args:
        release: whose.
        counted: with what was counted by bucket; where nobody asks for it, it need not lie in memory.
    """
    values = release.json(VOCABULARY)
    vocabularies = {
        name: {value: code for code, value in enumerate(listed, FIRST_VALUE)} for name, listed in values.items()
    }
    item_ids = np.array(["", "", "", *values["item_id"]], dtype=object)
    items = release.arrays(ITEMS)
    if "price" not in items:
        raise ArtifactError(f"release {release.id} was exported before items had prices: export again")
    item_codes = {name: items["codes"][:, i] for i, name in enumerate(release.features.item_categorical)}
    return Tables(
        release=release.id,
        features=release.features,
        serve=release.serve,
        vocabularies=vocabularies,
        item_ids=item_ids,
        item_codes=item_codes,
        item_numeric=items["numeric"],
        item_price=items["price"],
        shelves=Shelves(release.features, release.serve, vocabularies, item_codes, items["price"]),
        buckets=_buckets(release) if counted else _everywhere({}),
        first_takes=_everywhere(release.arrays(FIRST_TAKES) if counted and release.features.first_takes else {}),
        covisits=_covisits(release.arrays(COVISITS) if counted and release.features.covisit_half_lives_hours else {}),
        recent_half_life_hours=float(release.document["recent_half_life_hours"]),
        clock=Clock(release.features.timezone, release.document["shift_ms"]),
    )


def _buckets(release: Release) -> Buckets:
    raw = release.arrays(BUCKETS)
    regions = {str(name): index for index, name in enumerate(raw["regions"])}
    number, region, item, count = (raw[name] for name in ("bucket", "region", "item_code", "count"))
    same = region[1:] == region[:-1]
    if not np.all((region[1:] > region[:-1]) | (same & (number[1:] >= number[:-1]))):
        # Of an earlier export: sorted here, it lies in every process once more.
        order = np.lexsort((number, region))
        number, region, item, count = number[order], region[order], item[order], count[order]
    return Buckets(number, region, item, count, regions)


def _everywhere(raw: Mapping[str, np.ndarray]) -> Buckets:
    """Counts of all regions together, such as users who took an item for the first time; none where none are given."""
    number, item, count = (raw.get(name, _NOTHING) for name in ("bucket", "item_code", "count"))
    return Buckets(number, np.broadcast_to(np.int32(0), len(number)), item, count, {"": 0})


def _covisits(raw: Mapping[str, np.ndarray]) -> Covisits:
    """None at all where none are given."""
    return Covisits(*(raw.get(name, _NOTHING) for name in ("bucket", "item_code", "next_code", "count")))
