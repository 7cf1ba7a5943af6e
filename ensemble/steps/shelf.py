"""What may be listed: business rules, availability and a request's own filter, as masks over the catalogue.

Rules and availability are one mask, made when they change; a request's filter costs a look-up of a byte an item. The
shelf as the release was made with stays beside the one that updates of items keep fresh: recorded requests mean the
same tomorrow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from contracts.config import FeatureSettings
from contracts.features import FIRST_VALUE, NULL, OUT_OF_VOCABULARY
from contracts.item_state import AVAILABLE, NO, PRICE
from contracts.model_settings import ServeSettings
from ensemble.steps.envelope import Envelope

Codes = Mapping[str, Mapping[str, int]]


@dataclasses.dataclass(frozen=True)
class Shelf:
    """The catalogue at one moment; arrays ``[items]``, row i = code i + 3.

    Attributes:
        ruled_out: bool, what a rule keeps from ever being listed.
        missing: bool, what an update said to be unavailable.
        category: int64, codes of the category column.
        price: float64, NaN where it is not known.
    """

    ruled_out: np.ndarray
    missing: np.ndarray
    category: np.ndarray
    price: np.ndarray

    def blocked(self, envelope: Envelope) -> np.ndarray:
        """What a request must not be answered by rules, availability and its filter, bool ``[items]``."""
        blocked = self.ruled_out | self.missing if envelope.available else self.ruled_out.copy()
        if envelope.categories is not None:
            unwanted = np.ones(max(int(self.category.max(initial=0)), *envelope.categories, 0) + 1, bool)
            unwanted[list(envelope.categories)] = False
            blocked |= unwanted[self.category]
        # What has no known price (NaN) is within no range.
        if envelope.price_min is not None:
            blocked |= ~(self.price >= envelope.price_min)
        if envelope.price_max is not None:
            blocked |= ~(self.price <= envelope.price_max)
        return blocked


class Shelves:
    """The shelf of the release, and the shelf of now; a swap of the second is one assignment, safe in any thread."""

    def __init__(
        self,
        features: FeatureSettings,
        serve: ServeSettings,
        vocabularies: Codes,
        columns: Mapping[str, np.ndarray],
        price: np.ndarray,
    ):
        """Reads the rules.

        Args:
            features: which column is the category.
            serve: the rules.
            vocabularies: column -> value -> code.
            columns: item column -> int64 ``[items + 3]``.
            price: float64 ``[items + 3]``, NaN where it is not known.
        """
        self._items = vocabularies["item_id"]
        self._category = features.category
        self._rules = [(column, set(listed), False) for column, listed in serve.never.items()]
        self._rules += [(column, set(listed), True) for column, listed in serve.only.items()]
        named = {column for column, _, _ in self._rules} | ({features.category} if features.category else set[str]())
        self._codes = {column: self._extended(column, vocabularies[column]) for column in named}
        self._columns = {column: columns[column][FIRST_VALUE:] for column in named}
        self._price = price[FIRST_VALUE:]
        self.recorded = self._shelf(self._columns, self._price, np.zeros(len(self._price), bool))
        self.now = self.recorded

    def of(self, envelope: Envelope) -> Shelf:
        """The shelf that a request is answered from."""
        return self.recorded if envelope.recorded else self.now

    def take(self, states: Mapping[str, Mapping[str, str]]) -> None:
        """Make the shelf of now.

        Args:
            states: item id -> attribute -> newest value, of every item that was ever updated; those that are not in
                the catalogue come with the next release.
        """
        columns = {column: codes.copy() for column, codes in self._columns.items()}
        price, missing = self._price.copy(), np.zeros(len(self._price), bool)
        for item_id, said in states.items():
            code = self._items.get(item_id)
            if code is None:
                continue
            place = code - FIRST_VALUE
            missing[place] = said.get(AVAILABLE) == NO
            if PRICE in said:
                price[place] = float(said[PRICE])
            for column in columns.keys() & said.keys():
                columns[column][place] = self._code(column, said[column])
        self.now = self._shelf(columns, price, missing)

    def _shelf(self, columns: Mapping[str, np.ndarray], price: np.ndarray, missing: np.ndarray) -> Shelf:
        ruled_out = np.zeros(len(price), bool)
        for column, listed, only in self._rules:
            named = np.isin(columns[column], [self._code(column, value) for value in listed])
            ruled_out |= ~named if only else named
        category = columns.get(self._category, np.full(len(price), NULL))
        return Shelf(ruled_out, missing, category, price)

    def _extended(self, column: str, codes: Mapping[str, int]) -> dict[str, int]:
        """A vocabulary with the values that only rules name: an update may give an item one of them."""
        known = dict(codes)
        for _, listed, _ in (rule for rule in self._rules if rule[0] == column):
            for value in sorted(listed - known.keys()):
                known[value] = len(known) + FIRST_VALUE
        return known

    def _code(self, column: str, value: str) -> int:
        return self._codes[column].get(value, OUT_OF_VOCABULARY) if value else NULL
