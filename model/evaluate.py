"""How good a version is, with how far that is known: every figure with a 95 % interval by bootstrap, all in one pass.

A figure is a function of row weights, vectorised over many of them. Row 0 of the weights is all ones and gives the value; the
others are Poisson(1), the bootstrap of large samples, and their 2.5 and 97.5 percent points give the interval. All figures
of all versions share the weights, so a difference between two versions is paired by construction.

| figure         | is                                                                                          |
|----------------|---------------------------------------------------------------------------------------------|
| auc            | how often a positive is ranked above a negative, ties half                                  |
| pr_auc         | average precision                                                                           |
| accuracy ...   | accuracy, precision, recall and f1 where the prediction is at least the threshold           |
| ks             | greatest distance between the positives' and the negatives' distribution of predictions     |
| brier          | mean squared distance from the outcome                                                      |
| calibration    | mean distance between predicted and seen rate over tenths of the rows, ranked by prediction |
| bias           | mean prediction less the seen rate                                                          |
| lift           | rate among the tenth ranked highest, as a multiple of the rate of all                       |
| mae, share     | for amounts: mean absolute error, in the target's unit and as a share of the median's       |

A group is as well served as its recall (amounts: its share of the whole's mean error) says; `gap` is the greatest difference
between two groups of at least SMALL rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.features import Matrix, Vector

RESAMPLES = 500
SEED = 7
TENTHS = 10
SMALL = 300  # a group of fewer rows is shown, and not compared
Mask: TypeAlias = NDArray[np.bool_]
Figures: TypeAlias = dict[str, Vector]  # name -> one value per row of the weights


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Say it with its interval."""
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def weights(rows: int, resamples: int = RESAMPLES) -> Matrix:
    """Row weights, shape (1 + resamples, rows): ones, then resamples; the same for the same number of rows."""
    drawn = np.random.default_rng(SEED).poisson(1.0, (resamples, rows))
    return np.concatenate([np.ones((1, rows)), drawn]).astype(np.float64)


def figure(values: Vector) -> Figure:
    """The first value, with the interval that the others give."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Figure(float(values[0]), float(low), float(high))


def probabilities(target: Vector, predicted: Vector, threshold: float, by: Matrix) -> Figures:
    """The figures of predicted probabilities, for every row of weights `by`."""
    positive, total = by @ target, by.sum(axis=1)
    flagged = predicted >= threshold
    hits, alarms = by @ (target * flagged), by @ flagged.astype(float)
    precision, recall = hits / np.maximum(alarms, 1), hits / positive
    high = predicted >= np.quantile(predicted, 1 - 1 / TENTHS)
    return {
        **ranking(target, predicted, by),
        "accuracy": (total - alarms - positive + 2 * hits) / total,
        "precision": precision,
        "recall": recall,
        "f1": 2 * hits / (alarms + positive),
        "brier": by @ (predicted - target) ** 2 / total,
        "calibration": np.abs(by @ _tenths(target, predicted)).sum(axis=1) / total,
        "bias": by @ (predicted - target) / total,
        "lift": (by @ (target * high) / np.maximum(by @ high.astype(float), 1)) / (positive / total),
    }


def _tenths(target: Vector, predicted: Vector) -> Matrix:
    """Prediction less outcome, in the column of its row's tenth."""
    rank = predicted.argsort(kind="stable").argsort(kind="stable")
    tenth = rank * TENTHS // len(rank)
    return np.where(tenth[:, None] == np.arange(TENTHS), (predicted - target)[:, None], 0.0)


def ranking(target: Vector, predicted: Vector, by: Matrix) -> Figures:
    """The figures that only the order decides, by one sort: equal predictions form one step of the curves."""
    order = np.argsort(-predicted, kind="stable")
    first = np.flatnonzero(np.diff(predicted[order], prepend=np.inf))
    ups = np.cumsum(np.add.reduceat(by[:, order] * target[order], first, axis=1), axis=1)
    downs = np.cumsum(np.add.reduceat(by[:, order] * (1 - target[order]), first, axis=1), axis=1)
    positive, negative = ups[:, -1:], downs[:, -1:]
    more_up, more_down = (np.diff(side, axis=1, prepend=0.0) for side in (ups, downs))
    area = ((ups - more_up / 2) * more_down).sum(axis=1) / (positive * negative)[:, 0]
    precision = ups / np.maximum(ups + downs, 1e-12)
    return {
        "auc": area,
        "pr_auc": (precision * more_up).sum(axis=1) / positive[:, 0],
        "ks": np.abs(ups / positive - downs / negative).max(axis=1),
    }


def amounts(target: Vector, predicted: Vector, by: Matrix) -> Figures:
    """The figures of predicted amounts, for every row of weights `by`."""
    total = by.sum(axis=1)
    mae = by @ np.abs(predicted - target) / total
    return {
        "mae": mae,
        "share": mae / (by @ np.abs(target - np.median(target)) / total),
        "bias": by @ (predicted - target) / total,
    }


@dataclass(frozen=True)
class Group:
    """How one group is served: its rows, its seen and predicted mean, and its score, with the interval."""

    kind: str
    name: str
    rows: int
    seen: float
    predicted: float
    score: Figure


@dataclass(frozen=True)
class Served:
    """All groups, and per kind the greatest difference of scores between two that are not small."""

    groups: Sequence[Group]
    gaps: Mapping[str, Figure]


def served(target: Vector, predicted: Vector, threshold: float | None, kinds: Mapping[str, Sequence[str]], by: Matrix) -> Served:
    """Compare the groups of each kind. threshold: of a flag, whose recall is the score; None where predictions are amounts."""
    scored = _recall(target, predicted, threshold, by) if threshold is not None else _error(target, predicted, by)
    groups, gaps = [], {}
    for kind, names in kinds.items():
        compared = []
        for name in sorted(set(names)):
            mine = np.array([one == name for one in names])
            scores = scored(mine)
            groups.append(
                Group(kind, name, int(mine.sum()), float(target[mine].mean()), float(predicted[mine].mean()), figure(scores))
            )
            if mine.sum() >= SMALL:
                compared.append(scores)
        if len(compared) > 1:
            together = np.stack(compared)
            gaps[kind] = figure(together.max(axis=0) - together.min(axis=0))
    return Served(groups, gaps)


def _recall(target: Vector, predicted: Vector, threshold: float, by: Matrix) -> Callable[[Mask], Vector]:
    hit = target * (predicted >= threshold)
    return lambda mine: (by @ (hit * mine)) / np.maximum(by @ (target * mine), 1)


def _error(target: Vector, predicted: Vector, by: Matrix) -> Callable[[Mask], Vector]:
    away = np.abs(predicted - target)
    whole = by @ away / by.sum(axis=1)
    return lambda mine: by @ (away * mine) / np.maximum(by @ mine.astype(float), 1) / whole
