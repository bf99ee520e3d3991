"""Our figures are scikit-learn's, where it has them."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from model import calibrate, curve, evaluate, scores

ROWS, THRESHOLD = 3000, 0.3


@pytest.fixture(scope="module")
def sample():
    """Outcomes and predictions with ties, which is where definitions part."""
    random = np.random.default_rng(5)
    chance = random.beta(1, 3, ROWS)
    return (random.random(ROWS) < chance).astype(float), np.round(chance, 2)


OURS = {
    "auc": lambda target, said, _: metrics.roc_auc_score(target, said),
    "pr_auc": lambda target, said, _: metrics.average_precision_score(target, said),
    "accuracy": lambda target, _, flag: metrics.accuracy_score(target, flag),
    "precision": lambda target, _, flag: metrics.precision_score(target, flag),
    "recall": lambda target, _, flag: metrics.recall_score(target, flag),
    "f1": lambda target, _, flag: metrics.f1_score(target, flag),
    "brier": lambda target, said, _: metrics.brier_score_loss(target, said),
    "ks": lambda target, said, _: np.subtract(*metrics.roc_curve(target, said)[1::-1]).max(),
}


@pytest.mark.parametrize(("name", "theirs"), OURS.items(), ids=OURS)
def test_a_figure_of_probabilities_is_theirs(sample, name, theirs):
    target, predicted = sample
    found = evaluate.probabilities(target, predicted, THRESHOLD, np.ones((1, ROWS)))
    assert found[name][0] == pytest.approx(theirs(target, predicted, predicted >= THRESHOLD), abs=1e-12)


WEIGHTED = ("auc", "pr_auc", "accuracy", "precision", "recall", "f1", "brier")


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_resample_is_theirs_with_the_same_weights(sample, name):
    target, predicted = sample
    by = evaluate.weights(ROWS, 1)
    flag, weight = predicted >= THRESHOLD, by[1]
    theirs = {
        "auc": lambda: metrics.roc_auc_score(target, predicted, sample_weight=weight),
        "pr_auc": lambda: metrics.average_precision_score(target, predicted, sample_weight=weight),
        "accuracy": lambda: metrics.accuracy_score(target, flag, sample_weight=weight),
        "precision": lambda: metrics.precision_score(target, flag, sample_weight=weight),
        "recall": lambda: metrics.recall_score(target, flag, sample_weight=weight),
        "f1": lambda: metrics.f1_score(target, flag, sample_weight=weight),
        "brier": lambda: metrics.brier_score_loss(target, predicted, sample_weight=weight),
    }
    found = evaluate.probabilities(target, predicted, THRESHOLD, by)
    assert found[name][1] == pytest.approx(theirs[name](), abs=1e-9)


def test_the_errors_of_amounts_are_theirs():
    random = np.random.default_rng(6)
    target = random.normal(300, 200, ROWS)
    predicted = target + random.normal(0, 50, ROWS)
    found = evaluate.amounts(target, predicted, np.ones((1, ROWS)))
    theirs = metrics.mean_absolute_error(target, predicted)
    naive = metrics.mean_absolute_error(target, np.full(ROWS, np.median(target)))
    assert (found["mae"][0], found["share"][0]) == (pytest.approx(theirs), pytest.approx(theirs / naive))
    assert (scores.mae(target, predicted), scores.mae_of_median(target)) == (pytest.approx(theirs), pytest.approx(naive))


def test_the_roc_curve_lies_on_theirs_and_the_confusion_matrix_is_theirs(sample):
    target, predicted = sample
    alarms, found, thresholds = curve.roc(target, predicted)
    theirs = metrics.roc_curve(target, predicted, drop_intermediate=False)
    points = {round(float(t), 2): (a, f) for a, f, t in zip(*theirs, strict=True)}
    ours = {round(float(t), 2): (a, f) for a, f, t in zip(alarms, found, thresholds, strict=True)}
    assert (alarms[0], found[0], alarms[-1], found[-1]) == (0, 0, 1, 1)
    for threshold in points.keys() & ours.keys():
        assert ours[threshold] == pytest.approx(points[threshold]), threshold
    assert len(points.keys() & ours.keys()) > 50
    assert metrics.auc(alarms, found) == pytest.approx(metrics.roc_auc_score(target, predicted))
    assert curve.confusion(target, predicted, THRESHOLD) == metrics.confusion_matrix(target, predicted >= THRESHOLD).tolist()


def test_platts_numbers_are_those_of_their_logistic_regression(sample):
    target, predicted = sample
    inside = np.clip(predicted, 0.01, 0.99)
    odds = np.log(inside / (1 - inside))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], target)
    assert calibrate.platt(target, inside) == (
        pytest.approx(float(theirs.coef_[0, 0]), abs=1e-4),
        pytest.approx(float(theirs.intercept_[0]), abs=1e-4),
    )
