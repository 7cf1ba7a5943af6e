"""Golden requests: raw feature rows with their ``as_of`` and the answers that a release gave when it was exported.

They enter after the Redis read, so that they mean the same tomorrow. A release that answers them otherwise is not the
one that was judged: another library, another machine's arithmetic, or a damaged file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from contracts import folds
from contracts.artifacts import Zones
from contracts.config import Config
from contracts.errors import ArtifactError
from contracts.evaluation import Kind
from contracts.features import FIRST_VALUE, feature_views
from contracts.requests import CandidateFilter, Request, SimilarRequest, check_request, check_similar
from ensemble import assemble, raw_rows
from ensemble.steps.chain import Chain
from ensemble.steps.release import Release
from ensemble.steps.tables import Tables

FILE = "golden.json"

_USERS = 24
_TOLERANCE = 1e-5
_MINUTES = 60_000


def record(config: Config, zones: Zones, release: Release) -> dict[str, Any]:
    """Golden requests and the release's answers: users of the evaluation, running sessions, and users never seen."""
    chain = Chain(release)
    table = assemble.read_table(f"{zones.features}/requests.parquet")
    table = table.filter(pa.array([kind == Kind.TEST for kind in table["kind"].to_pylist()]))
    generator = np.random.default_rng(config.train.seed)
    table = table.take(np.sort(generator.choice(table.num_rows, min(_USERS, table.num_rows), replace=False)))
    asked = []
    for part, rows in raw_rows.batches(table, config.features, _USERS):
        for number, (user, as_of, row) in enumerate(zip(part["user_id"].to_pylist(), part["as_of"].to_pylist(), rows)):
            # Every fourth in the middle of a session: shortly after the newest interaction.
            instant = row["last_event_time"] + 10 * _MINUTES if number % 4 == 3 else as_of
            asked.append(_asked(Request(user, k=20), row, instant))
    last = asked[-1]["as_of"]
    asked += _others(chain.tables, asked[0]["row"], last) + _wishes(chain.tables, asked[0]["row"], last)
    for number, entry in enumerate(asked):
        entry["request"]["request_id"] = f"golden-{number}"
    return {"requests": [{**entry, "answer": _compared(in_process(chain)(entry))} for entry in asked]}


def replay(release: Release) -> int:
    """Answer a release's golden requests in this process; how many there are.

    Raises:
        ArtifactError: naming the first that is answered otherwise.
    """
    return compare(release, in_process(Chain(release)))


def compare(release: Release, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> int:
    """Hold answers against the recorded ones: ids and sources equal, scores within 1e-5.

    Args:
        release: whose golden requests.
        answer: from a golden entry to the answer's JSON document.

    Raises:
        ArtifactError: naming the first that is answered otherwise.
    """
    entries = release.json(FILE)["requests"]
    for entry in entries:
        expected, found = entry["answer"], _compared(answer(entry))
        scores = np.array(found.pop("scores")), np.array(expected.pop("scores"))
        if found != expected or not np.allclose(*scores, rtol=0, atol=_TOLERANCE):
            name = entry["request"]["request_id"]
            place = next(
                (i for i, pair in enumerate(zip(found["item_ids"], expected["item_ids"])) if pair[0] != pair[1]), -1
            )
            what = (
                f"item {place} is {found['item_ids'][place]!r}"
                if place >= 0
                else f"{found!r} with {scores[0].tolist()}"
            )
            wanted = repr(expected["item_ids"][place]) if place >= 0 else f"{expected!r} with {scores[1].tolist()}"
            raise ArtifactError(
                f"release {release.id} answers {name} otherwise than when it was exported: {what}, expected {wanted}; "
                "do not serve it: export it again in the environment that serves it"
            )
    return len(entries)


def in_process(chain: Chain) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """How the steps in this process answer a recorded request: what ``compare`` asks."""

    def answer(entry: Mapping[str, Any]) -> dict[str, Any]:
        if of_an_item(entry):
            request = check_similar(entry["request"])
            envelope = chain.similar.envelope(request, entry["as_of"], 0, recorded=True)
            return dataclasses.asdict(chain.similar([request], [envelope])[0])
        answered = chain.answer([check_request(entry["request"])], [entry["row"]], [entry["as_of"]], now_ms=0)
        return dataclasses.asdict(answered.answers[0])

    return answer


def of_an_item(entry: Mapping[str, Any]) -> bool:
    """Whether a recorded request asks for items like an item."""
    return "item_id" in entry["request"]


def _compared(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an answer that must stay the same."""
    names = ("user_id", "item_id", "item_ids", "scores", "sources", "feature_age_ms", "skipped")
    return json.loads(json.dumps({name: answer[name] for name in names if name in answer}))


def _asked(request: Request | SimilarRequest, row: Mapping[str, Any], as_of: int) -> dict[str, Any]:
    return {"request": request.to_document(), "row": dict(row), "as_of": int(as_of)}


def _others(tables: Tables, known: Mapping[str, Any], as_of: int) -> list[dict[str, Any]]:
    """Users that the evaluation has none of: never seen, new with a running session, and requests with wishes."""
    empty = {name: value for view in feature_views(tables.features) for name, value in view.empty_row().items()}
    region = min(tables.buckets.regions, default="")
    out = [
        _asked(Request("never-seen", k=20), empty, as_of),
        _asked(Request("never-seen", k=100, region=region), empty, as_of),
        _asked(Request("never-seen", k=5, region="no-such-region"), empty, as_of),
    ]
    category = tables.item_category
    names = {code: value for value, code in tables.vocabularies.get(tables.features.category, {}).items()}
    for code in np.unique(category[FIRST_VALUE:])[:3]:
        items = tables.item_ids[FIRST_VALUE:][category[FIRST_VALUE:] == code][:3]
        clicks = [
            folds.Interaction(as_of - i * _MINUTES, f"click-{i}", item, names.get(int(code), ""))
            for i, item in enumerate(items, 1)
        ]
        row = {**empty, **folds.row(folds.fold(clicks, tables.features), tables.features)}
        out.append(_asked(Request("just-arrived", k=20), row, as_of))
    excluded = tuple(tables.item_ids[FIRST_VALUE : FIRST_VALUE + 50].tolist())
    out.append(_asked(Request("never-seen", k=20, exclude_ids=excluded), empty, as_of))
    out.append(_asked(Request("known", k=100, exclude_ids=excluded), known, as_of))
    return out


def _wishes(tables: Tables, known: Mapping[str, Any], as_of: int) -> list[dict[str, Any]]:
    """Filters, diversity, and items like an item."""
    categories = [*tables.vocabularies.get(tables.features.category, {})][:2]
    narrow = CandidateFilter(category=tuple(categories[:1]))
    dear = CandidateFilter(price_min=float(np.nanmedian([0.0, *tables.item_price[tables.item_price > 0]])))
    out = [
        _asked(Request("known", k=30, candidate_filter=narrow), known, as_of),
        _asked(Request("known", k=10, candidate_filter=dear), known, as_of),
        _asked(Request("known", k=20, diversity=0.5), known, as_of),
    ]
    items = tables.item_ids[FIRST_VALUE :: max(1, tables.items // 3)].tolist()
    for item in items:
        out.append(_asked(SimilarRequest(item, k=20), known, as_of))
    out.append(_asked(SimilarRequest(items[0], k=20, diversity=0.5, candidate_filter=narrow), known, as_of))
    out.append(_asked(SimilarRequest("no-such-item", k=20), known, as_of))
    return out
