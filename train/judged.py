"""The answers that are judged: recorded lists joined by request id with what was relevant."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.artifacts import Zones
from contracts.errors import ArtifactError
from contracts.evaluation import Kind
from contracts.features import FIRST_VALUE
from train.metrics import K
from train.tables import Catalogue, flat, read

#: Our name of a list -> its column in ``answers.parquet``.
ANSWERED = {
    "served": "item_ids",
    "retrieval_order": "candidate_ids",
    "two_tower": "two_tower_ids",
    "trending": "trending_ids",
}
CANDIDATE, CURRENT = "answers", "answers_current"


@dataclasses.dataclass(frozen=True)
class Relevant:
    """What was new to the user of each request and taken after it: sorted ``request * items + code``, and how many.

    Attributes:
        keys: int64, sorted, each once.
        number: int64 ``[requests]``.
        items: item codes that there are, the reserved ones included.
    """

    keys: np.ndarray
    number: np.ndarray
    items: int

    def hits(self, codes: np.ndarray) -> np.ndarray:
        """Whether listed codes are relevant, bool of the shape of ``codes`` ``[requests, places]``; 0 never is."""
        if not len(self.keys):
            return np.zeros(codes.shape, bool)
        keys = np.arange(len(codes))[:, None] * self.items + codes
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[place] == keys) & (codes > 0)

    def among(self, items: np.ndarray) -> Relevant:
        """The same with some items only: bool by item code."""
        keys = self.keys[items[self.keys % self.items]]
        return Relevant(keys, np.bincount(keys // self.items, minlength=len(self.number)), self.items)


@dataclasses.dataclass(frozen=True)
class Judged:
    """The requests of one kind that have something relevant, sorted by id.

    Attributes:
        request_ids: strings.
        user_ids: the person behind each; a user may have several requests.
        requests: their rows of ``requests.parquet``.
        relevant: what counts.
    """

    request_ids: np.ndarray
    user_ids: np.ndarray
    requests: pa.Table
    relevant: Relevant


def judged(zones: Zones, held: Catalogue, columns: tuple[str, ...] = (), kind: str = Kind.TEST) -> Judged:
    """Requests of a kind with what is relevant to them.

    Args:
        zones: of the data set.
        held: the catalogue.
        columns: of ``requests.parquet`` that are wanted beside its ids.
        kind: of ``contracts.evaluation.Kind``.

    Raises:
        ArtifactError: when none has anything relevant, unless the log has no such request at all.
    """
    names = list(dict.fromkeys(("request_id", "kind", *columns)))
    requests = read(f"{zones.features}/requests.parquet", names)
    requests = requests.filter(pa.array(_strings(requests, "kind") == kind))
    truth = read(f"{zones.features}/truth.parquet", ["request_id", "user_id", "item_codes"])
    wanted, owners = _strings(requests, "request_id"), _strings(truth, "request_id")
    _, sizes = flat(truth, "item_codes")
    chosen = np.flatnonzero(np.isin(owners, wanted) & (sizes > 0))
    chosen = chosen[np.argsort(owners[chosen])]
    if not len(chosen) and len(wanted):
        raise ArtifactError(
            f"{zones.features}/truth.parquet: none of {len(wanted)} {kind} requests has anything relevant after it"
        )
    truth = truth.take(chosen)
    codes, sizes = flat(truth, "item_codes")
    items = held.size + FIRST_VALUE
    keys = np.unique(np.repeat(np.arange(len(sizes)), sizes) * items + codes.astype(np.int64))
    relevant = Relevant(keys, np.bincount(keys // items, minlength=len(sizes)), items)
    rows = requests.take(_places(wanted, owners[chosen]))
    return Judged(owners[chosen], _strings(truth, "user_id"), rows, relevant)


def lists(zones: Zones, held: Catalogue, asked: Judged, recorded: str = CANDIDATE) -> dict[str, np.ndarray]:
    """Recorded lists of the judged requests: name -> int64 ``[requests, 10]`` item codes, best first.

    Args:
        zones: of the data set.
        held: the catalogue; what is not in it gets code 0, which is never relevant.
        asked: the requests.
        recorded: ``CANDIDATE`` or ``CURRENT``.

    Raises:
        ArtifactError: when a request was answered twice or not at all.
    """
    url = f"{zones.answers}/{recorded}.parquet"
    answers = read(url, ["request_id", *ANSWERED.values()])
    ids = _strings(answers, "request_id")
    everyone = _strings(read(f"{zones.features}/requests.parquet", ["request_id"]), "request_id")
    if not np.array_equal(np.sort(ids), np.sort(everyone)):
        raise ArtifactError(
            f"{url}: expected one answer to each of {len(everyone)} requests, got {len(ids)} "
            f"({len(np.setdiff1d(everyone, ids))} requests without one); run `python -m ensemble answer` again"
        )
    found = answers.take(_places(ids, asked.request_ids))
    return {name: _codes(found, column, held) for name, column in ANSWERED.items()}


def _strings(table: pa.Table, column: str) -> np.ndarray:
    return np.asarray(table[column].to_pylist(), str)


def _places(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted id lies."""
    order = np.argsort(ids)
    return order[np.searchsorted(ids[order], wanted)]


def _codes(answers: pa.Table, column: str, held: Catalogue) -> np.ndarray:
    """The first 10 of a column of item ids as codes, int64 ``[requests, 10]``, 0 where the list is shorter."""
    lengths = pc.fill_null(pc.list_value_length(answers[column]), 0).to_numpy().astype(np.int64)
    index = (np.cumsum(lengths) - lengths)[:, None] + np.arange(K)[None, :]
    taken = np.arange(K)[None, :] < lengths[:, None]
    # Ten of each list and no more become text: retrieval's lists have hundreds.
    ids = pc.list_flatten(answers[column]).take(pa.array(index[taken]))
    found = pc.index_in(ids, value_set=pa.array(held.item_ids.tolist(), pa.string()))
    codes = np.zeros(taken.shape, np.int64)
    codes[taken] = pc.fill_null(pc.add(found, FIRST_VALUE), 0).to_numpy()
    return codes
