"""Takes the newest events into the retrieval that serves, by small steps: the towers go on from where they are.

What is new lies between the end of what that model was fitted on and the cut. Users and items that had no code then
get rows of their own (``train.weights.restore``). New rows are mixed with a replay of old ones against forgetting
(Rolnick et al., "Experience replay for continual learning", NeurIPS 2019), and what is forgotten all the same is
measured: beyond ``train.update_max_forgetting`` nothing is written. The item-item table is made anew; ranker and blend
stay.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from contracts.artifacts import Zones, drop_manifest, read_manifest, resident, write_manifest
from contracts.config import Config
from contracts.errors import ArtifactError, GateError
from contracts.features import MS_PER_DAY
from train import current, pairs, retrieval, validation, weights
from train.pairs import Pairs
from train.retrieval import Lesson
from train.sequences import Sequences
from train.tables import Catalogue, catalogue
from train.validation import HeldOut

log = logging.getLogger(__name__)


def run(config: Config, zones: Zones) -> dict[str, Any]:
    """Fill ``models/retrieval/update``; the figures of its manifest, or those of the model where nothing is new.

    Raises:
        ArtifactError: when there is no model to go on from, or it is too old.
        GateError: when the model forgot too much.
    """
    if done := current.update(zones):
        return done
    source = resident(zones)
    known = read_manifest(source)
    since, until = int(known["fitted_until"]), int(read_manifest(zones.processed)["cut"])
    check_reach(config, source, since, until)
    started = time.monotonic()
    held = catalogue(config, zones)
    learned = mixed(config, zones, held, since)
    lesson = Lesson(learned, None, 1, weights.load(zones, source))
    settings = dataclasses.replace(config.train, learning_rate=config.train.update_learning_rate)
    before = retrieval.build(config, held, lesson)
    fitted = retrieval.fit(dataclasses.replace(config, train=settings), held, lesson)
    models = {"before": before, "after": fitted.model}
    quality = {
        name: {state: retrieval.evaluate(model, config, held, rows) for state, model in models.items()}
        for name, rows in judged_by(config, zones, held, since).items()
    }
    check_forgetting(config, quality["old"])
    zone = f"{zones.retrieval}/update"
    drop_manifest(zone)
    facts = {
        **retrieval.write(config, zones, zone, held, lesson, fitted, until),
        "follows": known.get("follows", known["fingerprint"]),
        "learned_from": since,
        "quality": quality,
    }
    facts["added"] = {name: size - known["codes"][name][0] for name, (size, _) in facts["codes"].items()}
    facts["seconds"] = round(time.monotonic() - started, 1)
    write_manifest(zone, current.retrieval_mark(config, zones, f"update of {known['fingerprint']}"), **facts)
    return facts


def check_reach(config: Config, source: str, since: int, until: int) -> None:
    """Whether the rows of the newest days begin where a model ends.

    Raises:
        ArtifactError: when they begin later, or the model knows what lies behind the cut.
    """
    days = (until - since) / MS_PER_DAY
    if not 0 < days <= config.train.update_days:
        raise ArtifactError(
            f"{source} was fitted until {days:.1f} days before the cut, expected more than 0 and at most "
            f"train.update_days = {config.train.update_days}: run `python -m train retrieval --refit`, or raise "
            "train.update_days and run etl"
        )


def mixed(config: Config, zones: Zones, held: Catalogue, since: int) -> Pairs | Sequences:
    """The pairs of all rows from an instant on, and of ``train.update_replay`` times as many before it, drawn by seed.

    Among the old ones is what earlier updates learned, as far as ``train.update_days`` reach: of these days A, B and C
    hold a sample at most.

    Raises:
        ArtifactError: when nothing is new.
    """
    days = pairs.rows(config, zones, "new")
    is_new = pc.greater_equal(days["as_of"], since)
    new, known = days.filter(is_new), days.filter(pc.invert(is_new))
    if not new.num_rows:
        raise ArtifactError(f"{zones.features}/rows/window=new: nobody took anything new since the model was fitted")
    before = [pairs.rows(config, zones, window, ds.field("as_of") < since) for window in "ABC"]
    old = pa.concat_tables([*before, known])
    generator = np.random.default_rng([config.train.seed, since // MS_PER_DAY])
    number = min(old.num_rows, config.train.update_replay * new.num_rows)
    log.info("update: %d new rows, %d old ones", new.num_rows, number)
    again = old.take(np.sort(generator.choice(old.num_rows, number, replace=False)))
    learned = pairs.of_rows(config, held, pa.concat_tables([new, again]))
    if config.train.query_encoder == "attention":
        user_codes = learned.queries.user_codes[learned.row]
        context = user_codes[:, user_codes.shape[1] - len(config.features.context) :]
        return Sequences(learned.queries, learned.row, np.zeros_like(learned.row), learned.item, context)
    return learned


def judged_by(config: Config, zones: Zones, held: Catalogue, since: int) -> dict[str, HeldOut | None]:
    """Rows of windows B and C that were learned before, for forgetting, and the new ones.

    The new ones are judged before they are learned (how well they were foreseen) and after (how well taken in).
    """
    instant, horizon = ds.field("as_of"), config.train.horizon_days * MS_PER_DAY
    # With a horizon a row's targets reach that far: only where it was over has the model learned all of them.
    known = instant <= since - horizon if horizon else instant < since
    return {
        "old": validation.load(config, zones, held, ("B", "C"), known),
        "new": validation.load(config, zones, held, ("new",), instant >= since),
    }


def check_forgetting(config: Config, old: Mapping[str, Mapping[str, float]]) -> None:
    """Whether a model still finds, and ranks, what it did.

    Raises:
        GateError: when it lost more than ``train.update_max_forgetting`` of a figure.
    """
    most = config.train.update_max_forgetting
    for name, before in old["before"].items():
        after = old["after"][name]
        log.info("update: %s on old rows %.4f, before it %.4f", name, after, before)
        if after < before * (1 - most):
            raise GateError(
                f"update: {name} on rows learned before fell from {before:.4f} to {after:.4f}, more than "
                f"train.update_max_forgetting = {most}: nothing was written; run `python -m train retrieval --refit`"
            )
