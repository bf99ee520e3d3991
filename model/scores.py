"""How good predictions are: pure functions of targets and predictions, both of shape (rows,)."""

import numpy as np

from model.features import Vector


def auc(target: Vector, predicted: Vector) -> float:
    """Area under the ROC curve: how often a positive (1) is ranked above a negative (0); ties count half."""
    _, place, count = np.unique(predicted, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positives = float(target.sum())
    negatives = len(target) - positives
    return (float(rank[target == 1].sum()) - positives * (positives + 1) / 2) / (positives * negatives)


def half(_: Vector) -> float:
    """The AUC of knowing nothing."""
    return 0.5


def mae(target: Vector, predicted: Vector) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.abs(target - predicted).mean())


def mae_of_median(target: Vector) -> float:
    """The mean absolute error of always answering the median: the best that a constant can do."""
    return mae(target, np.full_like(target, np.median(target)))


def best_threshold(target: Vector, predicted: Vector) -> float:
    """The probability from which on flagging a case gives the best F1, in hundredths."""
    steps = np.arange(0.01, 1.0, 0.01)
    flagged = predicted[None, :] >= steps[:, None]
    hits = flagged @ target
    return round(float(steps[(2 * hits / (flagged.sum(axis=1) + target.sum())).argmax()]), 2)
