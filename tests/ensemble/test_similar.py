"""Items like an item: what speaks for them, and answers whatever is asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import RequestError
from contracts.features import FIRST_VALUE
from contracts.requests import CandidateFilter, SimilarAnswer, SimilarRequest, Source
from ensemble.impressions import OfItem
from ensemble.similar_serving import SimilarStep
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.ensemble.fake_backend import strings
from tests.ensemble.made_up import CUT, DEPARTMENTS, ITEMS, World


def ask(chain: Chain, item: str, k: int = 20, as_of: int = CUT, **wishes: object) -> SimilarAnswer:
    request = SimilarRequest(item, k, **wishes)  # pyright: ignore[reportArgumentType]
    return chain.similar([request], [chain.similar.envelope(request, as_of, 0)])[0]


def places(answer: SimilarAnswer) -> list[int]:
    return [int(item.split("-")[1]) for item in answer.item_ids]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, ITEMS - 1),
    st.integers(1, 100),
    st.lists(st.sampled_from([f"dep-{i}" for i in range(DEPARTMENTS)]), max_size=2),
    st.sampled_from([0.0, 0.6]),
    st.lists(st.integers(0, ITEMS - 1), max_size=5),
)
def test_an_answer_is_never_short_nor_twice_nor_the_item_itself(
    chain: Chain, world: World, item: int, k: int, departments: list[str], diversity: float, out: list[int]
) -> None:
    wish, excluded = CandidateFilter(category=tuple(departments)), tuple(world.item_ids[i] for i in out)
    answer = ask(chain, f"item-{item}", k, candidate_filter=wish, diversity=diversity, exclude_ids=excluded)
    named = [int(name.split("-")[1]) for name in departments]
    fits = {*np.flatnonzero(np.isin(world.department, named) | (not named)).tolist()} - {item, *out}
    assert len(answer.item_ids) == len({*answer.item_ids}) == min(k, len(fits))
    assert {*places(answer)} <= fits
    assert [skipped["stage"] for skipped in answer.skipped] == ["cold_start"] * (len(fits) < k)
    assert all(np.isfinite(answer.scores))


def test_what_is_alike_comes_first_and_is_called_similar(chain: Chain, world: World) -> None:
    shares = []
    for item in range(0, ITEMS, 7):
        answer = ask(chain, f"item-{item}", 10)
        assert {*answer.sources} == {Source.SIMILAR}
        assert list(answer.scores) == sorted(answer.scores, reverse=True)
        shares.append((world.department[places(answer)] == world.department[item]).mean())
    assert np.mean(shares) > 3 / DEPARTMENTS, "a made-up item goes with those of its department, which are an eighth"


def test_scores_are_the_weighed_parts(chain: Chain, release: Release) -> None:
    code = FIRST_VALUE + 11
    parts, table = chain.similar.parts(code, CUT), release.arrays("retrieval/1/item_item.npz")
    naive = np.zeros(ITEMS)
    for other, weight in zip(table["neighbours"][11], table["weights"][11]):
        if other >= FIRST_VALUE and other != code:
            naive[other - FIRST_VALUE] = weight
    assert np.allclose(parts["item_item"], naive / naive.max())
    cosine = chain.cold_start.vectors @ chain.cold_start.vectors[11]
    cosine[11] = 0
    assert np.allclose(parts["two_tower"], np.maximum(cosine, 0) / cosine.max(), atol=1e-6)
    weights = chain.tables.serve
    total = weights.similar_item_item * parts["item_item"] + weights.similar_two_tower * parts["two_tower"]
    assert np.allclose(chain.similar.scores(code, CUT), total)


def test_an_unknown_item_is_answered_by_trending_and_says_so(chain: Chain, world: World) -> None:
    answer = ask(chain, "nobody's item", region="region-1")
    order = np.argsort(-chain.popularity.trending(CUT, "region-1"), kind="stable")
    assert answer.item_ids == tuple(world.item_ids[i] for i in order[:20])
    assert {*answer.sources} == {Source.TRENDING}
    assert answer.skipped == ({"stage": "retrieval", "reason": "no item of the release has this id"},)


def test_what_fails_is_answered_by_trending(chain: Chain, world: World) -> None:
    counted: list[OfItem] = []
    step = SimilarStep(chain.similar, counted.append, "b", clock=lambda: CUT)
    batch = step.prepare({"similar_request": strings('{"item_id":"item-3","k":7,"request_id":"r"}')})
    out = step.finish(step.degrade(batch, RuntimeError("planted")))
    answer = json.loads(out["response"][0, 0])
    assert (answer["item_id"], answer["request_id"], answer["variant"]) == ("item-3", "r", "b")
    assert len(answer["item_ids"]) == 7 and {*answer["sources"]} == {Source.TRENDING}
    assert answer["skipped"] == [{"stage": "retrieval", "reason": "RuntimeError: planted"}]
    assert [one.answer.item_id for one in counted] == ["item-3"]


def test_bodies_and_typed_tensors_ask_the_same(chain: Chain) -> None:
    step = SimilarStep(chain.similar, lambda answer: None, clock=lambda: CUT)
    body = strings('{"item_id":"item-5","k":9,"diversity":0.5}', '{"item_id":"item-6","k":9}')
    typed = {"item_id": strings("item-5", "item-6"), "k": np.array([[9], [9]], np.int32)}
    typed["diversity"] = np.array([[0.5], [0.0]], np.float32)
    one, other = (step.finish(step.run(step.prepare(x))) for x in ({"similar_request": body}, typed))
    assert (one["item_ids"] == other["item_ids"]).all() and one["item_ids"].shape == (2, 9)


@pytest.mark.parametrize("tensors", [{}, {"item_id": strings("")}, {"similar_request": strings('{"user_id":"u"}')}])
def test_what_names_no_item_is_refused(chain: Chain, tensors: dict) -> None:
    with pytest.raises(RequestError):
        SimilarStep(chain.similar, lambda answer: None).prepare(tensors)
