"""The four steps behind the shells' own ``execute``, without a server, and an online store in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ensemble.impressions import Passage
from ensemble.serving import ColdStartStep, LookupStep, RankerStep, RetrievalStep
from ensemble.steps.chain import Chain
from tests.ensemble.fake_backend import Request, strings
from tests.ensemble.made_up import CUT

from ensemble import triton_io  # isort: skip  # after the fake backend, which takes the server's place

NOW = CUT + 1_000


class Rows:
    """An online store in memory; ``failing`` makes it fail as a whole."""

    def __init__(self, rows: dict[str, dict], unknown: dict):
        self.rows, self.unknown = rows, unknown
        self.failing: Exception | None = None
        self.reads = 0

    def read(self, user_ids: Sequence[str]) -> list:
        self.reads += 1
        if self.failing:
            raise self.failing
        return [self.rows.get(user, self.unknown) for user in user_ids]


class Server:
    """The four steps behind the shells' own ``execute``, called one after the other as the ensemble does."""

    def __init__(self, chain: Chain, store: Rows):
        self.now = NOW
        self.counted: list[Passage] = []
        clock = lambda: self.now  # noqa: E731
        self.steps = {
            "feature_lookup": LookupStep(chain.lookup, store, "b", clock),
            "retrieval": RetrievalStep(chain.retrieval, clock),
            "ranker": RankerStep(chain.ranker, clock),
            "cold_start": ColdStartStep(chain.cold_start, self.counted.append),
        }

    def __call__(self, *requests: Request) -> list[dict | str]:
        """Per request the response's document, or the text of its error."""
        held = {i: dict(request.tensors) for i, request in enumerate(requests)}
        out: list[dict | str] = ["" for _ in requests]
        for name, step in self.steps.items():
            found = triton_io.execute([Request(**held[i]) for i in held], name, step)
            for i, response in zip(list(held), found):
                if response.error:
                    out[i] = f"{response.error.code} {response.error.message}"
                    del held[i]
                else:
                    held[i] |= response.tensors
        for i in held:
            out[i] = json.loads(held[i]["response"][0, 0])
        return out


def body(**fields: object) -> Request:
    return Request(request=strings(json.dumps(fields)))
