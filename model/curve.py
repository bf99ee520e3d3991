"""What a threshold does: pure functions of targets (0 or 1) and predicted probabilities, both of shape (rows,)."""

import numpy as np

from model.features import Vector

STEPS = np.round(np.arange(1.0, -0.005, -0.01), 2)


def roc(target: Vector, predicted: Vector) -> tuple[Vector, Vector, Vector]:
    """The ROC curve at thresholds from 1 down to 0 in hundredths: shares of false alarms and of positives found, thresholds.

    It begins where nothing is flagged; the last threshold flags every row.
    """
    flagged = predicted[None, :] >= STEPS[:, None]
    found, alarms = (flagged @ of / of.sum() for of in (target, 1 - target))
    return np.append(0.0, alarms), np.append(0.0, found), np.append(1.01, STEPS)


def confusion(target: Vector, predicted: Vector, threshold: float) -> list[list[int]]:
    """How many rows: a line per outcome (0, 1), in it those left alone and those flagged from the threshold on."""
    flagged = predicted >= threshold
    return [[int(((target == outcome) & (flagged == flag)).sum()) for flag in (0, 1)] for outcome in (0, 1)]
