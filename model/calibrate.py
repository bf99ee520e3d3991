"""Probabilities made to mean what they say: Platt's two numbers, learned from predictions for rows a fold did not see.

    calibrated = 1 / (1 + exp(-(slope * log(p / (1 - p)) + shift)))

(1, 0) changes nothing. The numbers are rounded to six digits, so that another machine's last bit changes no artifact.
"""

from typing import TypeAlias

import numpy as np

from model.features import Matrix, Vector

Platt: TypeAlias = tuple[float, float]
NONE: Platt = (1.0, 0.0)
_EDGE = 1e-9
_STEPS = 25


def platt(target: Vector, predicted: Vector) -> Platt:
    """The slope and shift of a logistic regression of `target` (0 or 1) on the log-odds of `predicted`, by Newton's method."""
    odds = _odds(predicted)
    rows: Matrix = np.stack([odds, np.ones_like(odds)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-(rows @ found)))
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows
        found = found - np.linalg.solve(curve + 1e-9 * np.eye(2), rows.T @ (chance - target))
    slope, shift = (round(float(number), 6) for number in found)
    return slope, shift


def calibrated(predicted: Vector, by: Platt) -> Vector:
    """The probabilities, put right."""
    if by == NONE:
        return predicted
    slope, shift = by
    right: Vector = 1 / (1 + np.exp(-(slope * _odds(predicted) + shift)))
    return right


def _odds(predicted: Vector) -> Vector:
    inside = np.clip(predicted, _EDGE, 1 - _EDGE)
    odds: Vector = np.log(inside / (1 - inside))
    return odds
