"""The C++ backend answers what the python steps answer: recorded requests, and any others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from contracts.requests import Answer, CandidateFilter, Request, SimilarRequest
from ensemble import assemble, export, golden, trees
from ensemble.native import PLAN, Core, RefusedError
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from tests.ensemble.asking import assert_same, shopped
from tests.ensemble.backend.news import News
from tests.ensemble.graphs import trees_graph
from tests.ensemble.made_up import CUT, USERS, World

HOUR = 3_600_000


def body(request: Request) -> bytes:
    return json.dumps(request.to_document()).encode()


def some_requests(world: World, number: int) -> list[tuple[Request, dict, int]]:
    """Requests of all sorts: known users and strangers, in sessions and long after, near and far from the log's end."""
    rng = np.random.default_rng(number)
    asked = []
    for i in range(number):
        user = int(rng.integers(USERS + 10))
        as_of = CUT + int(rng.integers(-400, 200)) * HOUR + int(rng.integers(HOUR))
        if user >= USERS:
            row = shopped(world, -1, int(rng.integers(8)), as_of, int(rng.integers(4)))
        else:
            row = shopped(world, user, user % 8, as_of) if i % 3 == 0 else world.row(user, as_of)
        excluded = rng.choice(world.item_ids, rng.integers(20), replace=False).tolist() if i % 4 == 0 else []
        region = ("", "region-1", "region-3", "nowhere")[i % 4]
        k = int(rng.integers(1, 101))
        wishes = {"candidate_filter": some_filter(rng, i), "diversity": (0.0, 0.0, 0.4, 1.0)[i // 2 % 4]}
        asked.append((Request(f"user-{user}", k, region, (*excluded, "no such item"), f"r-{i}", **wishes), row, as_of))
    return asked


def some_filter(rng: np.random.Generator, number: int) -> CandidateFilter:
    """Every third wants a department or two, one that is none among them, and every fifth a price."""
    names = [f"dep-{i}" for i in rng.integers(9, size=rng.integers(1, 3))] if number % 3 == 0 else []
    low, high = sorted(rng.uniform(0, 12, 2).tolist())
    if number % 5:
        return CandidateFilter(tuple(names))
    return CandidateFilter(tuple(names), low, (high, None)[number % 2], available=number % 7 > 0)


def assert_in_place(found: Sequence[str], expected: Sequence[str]) -> None:
    elsewhere = sum(one != other for one, other in zip(found, expected, strict=True))
    assert elsewhere <= 0.1 * len(expected), "only ties may swap"


def assert_equal_answers(
    core: Core, chain: Chain, world: World, number: int = 48, together: int = 6, as_of: int | None = None
) -> None:
    """Of requests at instants of their own, or all of one."""
    asked = [
        (request, row, instant if as_of is None else as_of) for request, row, instant in some_requests(world, number)
    ]
    for start in range(0, number, together):
        part = asked[start : start + together]
        expected = chain.answer(*map(list, zip(*part)), now_ms=0).answers
        found = core.answer(*((body(request), {"row": row, "as_of": as_of}) for request, row, as_of in part))
        for one, other in zip(found, expected):
            lists = {name: tuple(one[name]) for name in ("item_ids", "scores", "sources", "skipped")}
            assert_same(Answer(**{**one, **lists}), other)
            assert_in_place(one["item_ids"], other.item_ids)


def test_recorded_requests_are_answered_as_recorded(serving: Core, release: Release) -> None:
    assert golden.compare(release, serving.replayed) >= 32


def test_any_requests_are_answered_as_by_the_python_steps(serving: Core, chain: Chain, world: World) -> None:
    assert_equal_answers(serving, chain, world)


def assert_equal_likes(core: Core, chain: Chain, world: World, number: int = 40) -> None:
    """Items like some of the catalogue and like one that is none."""
    rng, row = np.random.default_rng(number), world.row(0, CUT)
    for i in range(number):
        item = f"item-{rng.integers(len(world.item_ids) + 5)}"
        diversity, region = (0.0, 0.5)[i % 2], ("", "region-1")[i % 3 == 0]
        request = SimilarRequest(
            item, int(rng.integers(1, 101)), region, ("item-3",), f"r-{i}", 1000, some_filter(rng, i), diversity
        )
        as_of = CUT - i * HOUR
        (expected,) = chain.similar([request], [chain.similar.envelope(request, as_of, 0, recorded=True)])
        (found,) = core.similar((body(request), {"row": row, "as_of": as_of}))
        assert (found["item_id"], found["request_id"]) == (item, f"r-{i}")
        assert found["skipped"] == list(expected.skipped)
        assert np.allclose(found["scores"], expected.scores, atol=1e-5)
        assert_in_place(found["item_ids"], expected.item_ids)
        if found["item_ids"] == list(expected.item_ids):
            assert found["sources"] == list(expected.sources)


def test_items_like_an_item_are_those_of_the_python_step(serving: Core, chain: Chain, world: World) -> None:
    assert_equal_likes(serving, chain, world)


def test_requests_for_items_and_for_users_may_share_a_batch(serving: Core, world: World) -> None:
    row = {"row": world.row(1, CUT), "as_of": CUT}
    of_user, of_item = (b'{"user_id":"user-1","k":5}', row), (b'{"item_id":"item-1","k":5}', row)
    mixed = serving.mixed([(of_item, True), (of_user, False), (of_item, True)])
    assert [("item_id" in answer, len(answer["item_ids"])) for answer in mixed] == [(True, 5), (False, 5), (True, 5)]
    assert mixed[1]["item_ids"] == serving.answer(of_user)[0]["item_ids"]
    assert mixed[0]["item_ids"] == mixed[2]["item_ids"] == serving.similar(of_item)[0]["item_ids"]


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[News, Release]]:
    world, folder = News(), tmp_path_factory.mktemp("news")
    place = world.write(str(folder))
    export.run(world.config, place)
    yield world, Release.open(export.candidate_url(place))


def test_so_they_are_where_every_part_of_the_steps_is_on(core: Core, news: tuple[News, Release]) -> None:
    world, release = news
    core.load(release)
    chain = Chain(release)
    assert chain.tables.shelves.recorded.ruled_out.any(), "rules are on"
    assert_equal_answers(core, chain, world)
    assert_equal_likes(core, chain, world)


def test_so_they_are_where_the_ranker_is_trees(core: Core, damaged: Path, world: World) -> None:
    """Of columns, thresholds and leaves at random; with one leaf more they are a graph to onnxruntime, as before."""
    for leaves, fast in ((16, True), (17, False)):
        zone = damaged / "models"
        zone.mkdir(exist_ok=True)
        (zone / "ranker.onnx").write_bytes(trees_graph(world.config, np.random.default_rng(5), 40, leaves))
        (damaged / trees.FILE).unlink(missing_ok=True)
        assemble.write_ranker(damaged, str(zone))
        assert (damaged / trees.FILE).exists() == fast
        document = json.loads((damaged / "release.json").read_text())
        (damaged / "release.json").write_text(json.dumps({**document, "files": assemble.checksums(damaged)}))
        core.load(Release.open(damaged))
        assert_equal_answers(core, Chain(Release.open(damaged)), world)


def test_the_order_of_a_batch_and_its_size_change_nothing(serving: Core, world: World) -> None:
    asked = [(body(x), {"row": row, "as_of": as_of}) for x, row, as_of in some_requests(world, 20)]
    together, alone = serving.answer(*asked[::-1])[::-1], [serving.answer(one)[0] for one in asked]
    for one, other in zip(together, alone):
        assert one["request_id"] == other["request_id"]
        assert np.allclose(one["scores"], other["scores"], atol=1e-6)


def test_a_plan_without_a_ranker_answers_in_the_order_of_retrieval(core: Core, release: Release, world: World) -> None:
    core.load(release, plan="feature_lookup retrieval cold_start")
    (answer,) = core.answer((b'{"user_id":"user-1"}', {"row": world.row(1, CUT), "as_of": CUT}))
    assert (len(answer["item_ids"]), answer["skipped"]) == (20, [])
    assert answer["scores"] == sorted(answer["scores"], reverse=True)


@pytest.mark.parametrize(
    ("plan", "said"),
    [("retrieval ranker", "expected a plan from feature_lookup to cold_start"), (f"{PLAN} x", "expected a plan")]
    + [("feature_lookup reranker cold_start", "the plan names reranker, which is no step")],
)
def test_a_plan_that_is_none_is_refused(core: Core, release: Release, plan: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        core.load(release, plan=plan)


def test_a_damaged_release_is_refused_by_name(core: Core, damaged: Path) -> None:
    path = damaged / "retrieval/1/item_embeddings.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(RefusedError, match=r"retrieval/1/item_embeddings.npy is not what was exported"):
        core.load(Release.open(damaged))
    path.unlink()
    with pytest.raises(RefusedError, match="item_embeddings.npy is missing"):
        core.load(Release.open(damaged))


def test_a_column_that_the_backend_does_not_know_is_refused(core: Core, damaged: Path) -> None:
    document = json.loads((damaged / "release.json").read_text())
    document["derived"]["ranker_continuous"].append("phase_of_the_moon")
    (damaged / "release.json").write_text(json.dumps(document))
    with pytest.raises(RefusedError, match="the ranker asks for phase_of_the_moon, which this backend does not know"):
        core.load(Release.open(damaged))


def test_a_request_that_is_late_skips_what_it_can(serving: Core, world: World) -> None:
    """A budget of a millisecond is over before the second step of a batch that takes longer."""
    rows = [world.row(user, CUT) for user in range(40)]
    asked = [(b'{"user_id":"x","deadline_ms":1}', {"row": row, "as_of": CUT}) for row in rows]
    answers = serving.answer(*asked)
    assert all(len(answer["item_ids"]) == 20 for answer in answers)
    reasons = [skipped["reason"] for answer in answers for skipped in answer["skipped"] if skipped["stage"] == "ranker"]
    assert reasons and all("before it started" in reason for reason in reasons)
