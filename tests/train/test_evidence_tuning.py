import dataclasses

import numpy as np
import pytest

from contracts.blending import Evidence
from contracts.evaluation import COLD_STEPS
from train.evidence_tuning import PERSONAL, Lists, halves

REQUESTS, CANDIDATES = 400, 30


def asked(evidence, sure, trending_sure=1.5, seed=1):
    """Requests whose personal scores tell ``sure`` of what is taken, and whose trending tells ``trending_sure``.

    The same ``REQUESTS`` users ask again and again, with as much known of them as ``evidence`` says.
    """
    generator = np.random.default_rng(seed)
    label = generator.random((REQUESTS, CANDIDATES)) < 0.1
    label[:, 0] |= ~label.any(axis=1)
    noise = generator.normal(size=(3, *label.shape))
    demand = np.exp(noise[0] + trending_sure * label)
    demand /= demand.max(axis=1, keepdims=True)
    times = len(evidence) // REQUESTS
    label, demand, personal, two_tower = (np.tile(held, (times, 1)) for held in (label, demand, noise[1], noise[2]))
    logged = personal + np.asarray(sure)[:, None] * label
    return Lists(logged, two_tower, demand, np.zeros(label.shape), label, label.sum(axis=1), np.asarray(evidence))


def test_where_everybody_is_known_well_and_nobody_follows_a_trend_little_evidence_is_asked_for():
    everybody = np.full(REQUESTS, 30)
    chosen, curve = halves(asked(everybody, np.full(REQUESTS, 4.0), 0.0), None)
    assert chosen.personal <= 5 and curve == []


def test_who_has_just_arrived_is_answered_by_trending_and_better_by_and_by():
    evidence = np.repeat(COLD_STEPS, REQUESTS)
    little = asked(evidence, 0.25 * evidence)
    chosen, curve = halves(asked(np.full(REQUESTS, 30), np.full(REQUESTS, 4.0), seed=2), little)
    served, trending = ([point[name] for point in curve] for name in ("served", "trending"))
    assert [point["known_events"] for point in curve] == list(COLD_STEPS)
    assert served[0] == trending[0] and served[-1] > 1.1 * trending[-1]
    assert np.diff(served).min() > -0.002 and np.min(np.subtract(served, trending)) > -0.002
    # Answered as themselves at once, those of whom one or three interactions are known would get less than trending.
    at_once = little.judged(Evidence(PERSONAL[0], 0.0))
    assert at_once[evidence == 1].mean() < trending[1] and chosen.personal > PERSONAL[0]


def test_a_ranker_that_misleads_whom_it_does_not_know_gives_way_to_the_two_tower():
    evidence = np.repeat(COLD_STEPS, REQUESTS)
    little = asked(evidence, np.full(len(evidence), -1.0), trending_sure=0.5)
    told = dataclasses.replace(little, two_tower=little.two_tower + 0.3 * evidence[:, None] * little.label)
    chosen, curve = halves(asked(np.full(REQUESTS, 300), np.full(REQUESTS, 4.0), seed=2), told)
    assert chosen.ranker > 0
    assert curve[-1]["served"] > curve[-1]["trending"]


def test_padding_is_never_listed():
    whole = asked(np.full(REQUESTS, 1), np.zeros(REQUESTS))
    fills = {"logged": -np.inf, "two_tower": 9.0, "trending": 1.0, "in_session": 9.0, "label": True}
    padded = {
        name: np.pad(getattr(whole, name), ((0, 0), (0, 4)), constant_values=fill) for name, fill in fills.items()
    }
    wider = dataclasses.replace(whole, **padded)
    for pair in (Evidence(1.0, 5.0), Evidence(0.001, 0.0)):
        assert wider.judged(pair) == pytest.approx(whole.judged(pair))
    assert wider.trending_alone() == pytest.approx(whole.trending_alone())
