"""See it learn: ask, buy three things of another department, ask again; how soon and how far does the list move?

All goes over the public port, as an application would do it. A household "rises" when the department's share of its
top 20 is higher after the purchases; ``learned_in_ms`` is the time from the third purchase's 202 to the first answer
that knows it and whose list has moved.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contracts.requests import Source
from deploy.catalogue import Catalogue, Plan, choose_purchases, read_catalogue, read_histories, shuffled_users
from deploy.client import Client, now_ms
from deploy.site import Site

log = logging.getLogger(__name__)

TOP = 20
#: An answer that still does not know the purchases after this long counts as not learned.
PATIENCE_SECONDS = 1.0
#: A household that was active within this time is in a session already, so three purchases are no new one.
SESSION_MS = 3 * 3_600_000


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What happened to one user.

    Attributes:
        learned_ms: from the last purchase's 202 to the first answer that moved; None when none came in time.
        before: the answer before the purchases.
        after: the answer that knows all three.
        share_before: the department's share of the top 20.
        share_after: the same of ``after``.
    """

    plan: Plan
    learned_ms: float | None
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    share_before: float
    share_after: float


@dataclasses.dataclass(frozen=True)
class Result:
    """The lessons of the households, and of a user never seen before."""

    catalogue: Catalogue
    lessons: Sequence[Lesson]
    newcomer: Lesson

    def key_figures(self) -> dict[str, Any]:
        """What the last line of ``make run`` says of it."""
        times = sorted(lesson.learned_ms if lesson.learned_ms is not None else float("inf") for lesson in self.lessons)
        p95 = times[max(0, -(-95 * len(times) // 100) - 1)]
        lifts = [lesson.share_after - lesson.share_before for lesson in self.lessons]
        sources = self.newcomer.before["sources"]
        return {
            "learned_in_ms": round(p95, 1) if p95 != float("inf") else None,
            "households": len(self.lessons),
            "households_rose": sum(lift > 0 for lift in lifts),
            "mean_rise": round(sum(lifts) / len(lifts), 4),
            "share_before": round(sum(lesson.share_before for lesson in self.lessons) / len(lifts), 4),
            "share_after": round(sum(lesson.share_after for lesson in self.lessons) / len(lifts), 4),
            "newcomer_trending_before": round(sum(s == Source.TRENDING for s in sources) / len(sources), 4),
            "newcomer_rise": round(self.newcomer.share_after - self.newcomer.share_before, 4),
        }


def learn(site: Site, households: int = 100, seed: int = 20) -> Result:
    """Run the lesson on seeded households and one newcomer.

    Raises:
        StackError: when the stack does not answer.
    """
    catalogue = read_catalogue(site)
    histories = read_histories(site)
    with Client(site.ports["public"]) as client:
        chosen = rested(client, shuffled_users(histories, seed), households)
        lessons = []
        for user in chosen:
            region, seen = histories[user]
            lessons.append(teach(client, user, seen, region, catalogue, seed))
            if len(lessons) % 20 == 0:
                log.info("see it learn: %d of %d households", len(lessons), len(chosen))
        region = histories[chosen[0]][0]
        newcomer = teach(client, f"newcomer-{uuid.uuid4().hex[:8]}", frozenset(), region, catalogue, seed)
    return Result(catalogue, lessons, newcomer)


def rested(client: Client, users: Iterable[str], count: int) -> list[str]:
    """The first ``count`` users that are not in a session; those who are only when there are not enough."""
    chosen: list[str] = []
    busy: list[str] = []
    for user in users:
        if len(chosen) == count:
            break
        age = client.recommend(user, 1)["feature_age_ms"]
        (busy if 0 <= age < SESSION_MS else chosen).append(user)
    return [*chosen, *busy][:count]


def teach(client: Client, user_id: str, seen: frozenset[str], region: str, catalogue: Catalogue, seed: int) -> Lesson:
    """One user's lesson."""
    before = client.recommend(user_id, TOP)
    plan = choose_purchases(user_id, before["item_ids"], seen, catalogue, seed)
    last = now_ms()
    for i, item in enumerate(plan.purchases):
        # A second apart, so that the age of the features tells which of the three an answer knows.
        event_time = last - 1000 * (len(plan.purchases) - 1 - i)
        client.send(purchase(user_id, item, region, event_time))
    accepted = time.perf_counter()
    share_before = catalogue.share(before["item_ids"], plan.department)
    after, learned_ms = before, None
    while learned_ms is None and time.perf_counter() - accepted < PATIENCE_SECONDS:
        after = client.recommend(user_id, TOP)
        elapsed = (time.perf_counter() - accepted) * 1000
        knows_all = 0 <= after["feature_age_ms"] <= now_ms() - last
        if knows_all and after["item_ids"] != before["item_ids"]:
            learned_ms = elapsed
    share_after = catalogue.share(after["item_ids"], plan.department)
    return Lesson(plan, learned_ms, before, after, share_before, share_after)


def purchase(user_id: str, item_id: str, region: str, event_time: int) -> dict[str, Any]:
    """An event as an application sends it."""
    event = {
        "event_id": uuid.uuid4().hex,
        "event_type": "purchase",
        "event_time": event_time,
        "user_id": user_id,
        "item_id": item_id,
        "session_id": f"learn-{user_id}",
        "quantity": 1,
    }
    return {**event, "region": region} if region else event
