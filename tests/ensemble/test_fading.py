"""A history that fades, and the sources that read it."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import FIRST_VALUE
from contracts.requests import Request
from ensemble.steps.chain import Chain
from ensemble.steps.lookup import catalogue_mask
from ensemble.steps.sources import faded
from tests.ensemble.asking import ask
from tests.ensemble.made_up import ITEMS, World


def test_an_item_counts_half_when_so_many_others_were_taken_since() -> None:
    counts = faded(np.array([[5, 3, 4, 0], [0, 0, 0, 0]]), items=4, half_items=2.0)
    assert counts[0].tolist() == pytest.approx([2**-0.5, 0.5, 1.0, 0.0])
    assert not counts[1].any()


def test_seen_items_come_newest_first(chain: Chain) -> None:
    row = {
        **chain.lookup.unknown_row(),
        "recent_item_ids": [chain.tables.item_ids[FIRST_VALUE + 7]],
        "recent_event_times": [1000],
        "seen_item_ids": [chain.tables.item_ids[FIRST_VALUE + place] for place in (9, 7, 2)],
    }
    query = chain.lookup.query([chain.lookup.envelope(Request("nobody"), row, 2000, 0)], [row])
    assert query.seen_items[0, :4].tolist() == [FIRST_VALUE + 7, FIRST_VALUE + 9, FIRST_VALUE + 2, 0]


def test_recent_sources_are_the_whole_ones_where_nothing_fades_and_follow_the_newest_item_where_all_else_does(
    chain: Chain, world: World
) -> None:
    query = ask(chain, world, [0, 3]).query
    seen = catalogue_mask(query.seen_items, ITEMS)
    sources = chain.retrieval.sources

    def scored(half_items: float) -> dict[str, np.ndarray]:
        sources._half_items = half_items
        return sources(query, seen)

    before = sources._half_items
    slow, fast, off = scored(1e12), scored(1e-3), scored(0.0)
    sources._half_items = before
    newest = catalogue_mask(query.seen_items[:, :1], ITEMS)
    for source in ("similar", "als"):
        assert np.allclose(slow[f"{source}_recent"], slow[source], atol=1e-4)
        assert np.allclose(fast[f"{source}_recent"], getattr(sources, source)(newest), atol=1e-4)
        assert np.isneginf(off[f"{source}_recent"]).all()
