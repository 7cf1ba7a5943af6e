"""What another policy would have earned, from a log of what was shown with which probability.

A log of a policy that draws its items, with the probability of each draw, tells of every policy that would have shown
nothing that this one never shows. Values are means per logged impression:

- ``ips``, inverse propensity scores (Horvitz and Thompson, 1952): unbiased; wild where propensities are small.
- ``clipped``: the same with weights cut (Bottou et al., JMLR 2013): steadier, and biased towards 0.
- ``snips``, self-normalised (Swaminathan and Joachims, NeurIPS 2015): divided by the mean weight, so that a reward
  shifted by a constant shifts the value by it; bias of order 1/n.
- ``dr``, doubly robust (Dudík, Langford and Li, ICML 2011): a model of the reward, corrected by the weighted errors
  that it made on what was shown; unbiased if either model or propensities are right.

Each is a mean of contributions, or a ratio of two means; its interval is the normal one of the contributions
(linearised for the ratio), by units where rows of one user depend on each other.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from contracts.errors import ArtifactError

#: Deviations of a normal distribution between a mean and either end of its 95 % interval.
_REACH = 1.959964


@dataclasses.dataclass(frozen=True)
class Logged:
    """Impressions of one policy, and what another one would have done; every array ``[n]``.

    Attributes:
        reward: what came of it (a click, a purchase, its value).
        propensity: the probability with which the logging policy showed this item here.
        target: that with which the judged policy would have.
        unit: numbers from 0; rows of one unit (a user, a session) depend on each other.
        predicted: a model's reward of the item that was shown; None without a model.
        predicted_target: the model's mean reward of what the judged policy would show here.
    """

    reward: np.ndarray
    propensity: np.ndarray
    target: np.ndarray
    unit: np.ndarray
    predicted: np.ndarray | None = None
    predicted_target: np.ndarray | None = None


def estimates(log: Logged, clip: float) -> dict[str, Any]:
    """The judged policy's value by every estimator that the log allows.

    Args:
        log: the impressions.
        clip: the greatest weight of ``clipped``.

    Returns:
        ``estimates``: estimator -> ``value`` and ``interval``; ``logged``: what the logging policy itself earned; and
        how far to trust them: ``mean_weight`` (1 when propensities are right and all that the judged policy shows was
        possible: its interval should hold 1), ``greatest_weight``, and ``effective_rows`` (Kish: rows of equal weight
        that would say as much).
    """
    weight = log.target / log.propensity
    contributions = {
        "ips": weight * log.reward,
        "clipped": np.minimum(weight, clip) * log.reward,
    }
    if log.predicted is not None and log.predicted_target is not None:
        contributions["dr"] = log.predicted_target + weight * (log.reward - log.predicted)
    found = {name: _mean(values, log.unit) for name, values in contributions.items()}
    found["snips"] = _ratio(weight * log.reward, weight, log.unit)
    return {
        "rows": len(weight),
        "estimates": found,
        "logged": _mean(log.reward, log.unit),
        "mean_weight": _mean(weight, log.unit),
        "greatest_weight": float(weight.max()),
        "effective_rows": float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0,
    }


def _mean(values: np.ndarray, unit: np.ndarray) -> dict[str, Any]:
    return _told(float(values.mean()), values - values.mean(), unit)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, unit: np.ndarray) -> dict[str, Any]:
    """A ratio of means, linearised: its contributions are those of ``numerator - ratio * denominator``."""
    base = denominator.mean()
    value = float(numerator.mean() / base) if base else 0.0
    return _told(value, (numerator - value * denominator) / base if base else numerator * 0.0, unit)


def _told(value: float, errors: np.ndarray, unit: np.ndarray) -> dict[str, Any]:
    """A value with the normal interval that its centred contributions give, units being independent."""
    by_unit = np.bincount(unit, errors)
    units = max(len(by_unit), 2)
    reach = _REACH * float(np.sqrt((by_unit**2).sum() * units / (units - 1))) / len(errors)
    return {"value": value, "interval": [value - reach, value + reach]}


def read(url: str, columns: dict[str, str]) -> Logged:
    """A log from a Parquet or CSV file (by its name's ending).

    Args:
        url: fsspec URL.
        columns: field of ``Logged`` -> its column in the file; ``unit`` may lack (every row by itself), as may
            ``predicted`` and ``predicted_target``.

    Raises:
        ArtifactError: when the file or a column is not there, or a probability is none.
    """
    table = _table(url)
    lacking = [column for column in columns.values() if column not in table.column_names]
    if lacking:
        raise ArtifactError(f"{url}: expected columns {lacking}, it has {table.column_names}")
    if not table.num_rows:
        raise ArtifactError(f"{url}: expected impressions, it has no row")
    units = table[columns["unit"]].to_pylist() if "unit" in columns else range(table.num_rows)
    held = {name: table[column].to_numpy().astype(np.float64) for name, column in columns.items() if name != "unit"}
    for name, least in (("propensity", "more than 0"), ("target", "0 or more")):
        wrong = ~(held[name] <= 1.0) | (held[name] < 0) | ((held[name] == 0) & (name == "propensity"))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ArtifactError(
                f"{url}: expected probabilities in {columns[name]!r}, {least} and at most 1, got {held[name][row]} "
                f"in row {row} ({int(wrong.sum())} such rows)"
            )
    return Logged(unit=np.unique(np.asarray(units), return_inverse=True)[1], **held)


def _table(url: str) -> pa.Table:
    try:
        with fsspec.open(url, "rb") as file:
            return csv.read_csv(file) if url.endswith(".csv") else pq.read_table(file)
    except FileNotFoundError:
        raise ArtifactError(f"{url} is not there; expected a Parquet or CSV file of logged impressions") from None
    except pa.ArrowInvalid as error:
        raise ArtifactError(f"{url} cannot be read: {error}") from None
